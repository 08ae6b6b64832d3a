"""The file of disposals as a real server sends it: over ASGI, in pieces, on the thread of the request."""

import asyncio
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.test import Client

from apps.web import serving, statistics_page
from tests.web.conftest import Caller, drain, make_account, now

pytestmark = pytest.mark.django_db(transaction=True)
TIMEOUT = 20


async def download(query: str, cookie: str) -> tuple[int, list[bytes]]:
    """Ask for the file and return the status and the pieces as they came."""
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/statistics/disposals.csv",
        "query_string": query.encode(),
        "client": ["127.0.0.1", 1],
        "server": ["127.0.0.1", 80],
        "headers": [(b"host", b"127.0.0.1"), (b"cookie", f"{settings.SESSION_COOKIE_NAME}={cookie}".encode())],
    }
    pages = serving.Pages()
    try:
        talk = ApplicationCommunicator(pages, scope)
        await talk.send_input({"type": "http.request", "body": b"", "more_body": False})
        start = await talk.receive_output(TIMEOUT)
        pieces, more = [], True
        while more:
            part = await talk.receive_output(TIMEOUT)
            pieces.append(part.get("body", b""))
            more = part.get("more_body", False)
        await talk.wait()
        return start["status"], pieces
    finally:
        await pages.close()


def test_it_comes_in_pieces_and_whole(root: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Client()
    browser.force_login(root.user)
    account = make_account(root.user)
    for _ in range(3):
        lot = root.open(quantity="0.1")["id"]
        root.post(f"/api/v1/positions/{lot}/close", {})
        drain()
    monkeypatch.setattr(statistics_page, "BLOCK", 10)
    query = f"account={account.pk}&year={now().year}&method=fifo&zone=UTC&long_after=365"
    status, pieces = asyncio.run(download(query, browser.cookies[settings.SESSION_COOKIE_NAME].value))
    assert status == 200
    assert len([piece for piece in pieces if piece]) == 4
    assert b"".join(pieces).count(b"\r\n") == 4
