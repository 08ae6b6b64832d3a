"""Requests as a real server hands them over: in pieces, without a stated length, many at once on few threads."""

import asyncio
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.db import connection

from apps.web import serving
from tests.flow.worlds import eventually
from tests.web.conftest import Caller

pytestmark = pytest.mark.django_db(transaction=True)
BODY = json.dumps({"instrument": "BTC-USD", "side": "long", "quantity": "0.5", "stop_loss": "60000"}).encode()


async def exchange(
    pages: serving.Pages,
    token: str,
    headers: list[tuple[bytes, bytes]],
    pieces: list[bytes],
    method: str = "POST",
    path: str = "/api/v1/positions",
) -> tuple[int, dict[str, Any]]:
    common = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": b"",
        "client": ["127.0.0.1", 1],
        "server": ["127.0.0.1", 80],
        "headers": [*common, (b"authorization", f"Bearer {token}".encode()), *headers],
    }
    talk = ApplicationCommunicator(pages, scope)
    for index, piece in enumerate(pieces):
        await talk.send_input({"type": "http.request", "body": piece, "more_body": index < len(pieces) - 1})
    start = await talk.receive_output(20)
    body = await talk.receive_output(20)
    await talk.wait()
    return start["status"], json.loads(body["body"])


def post(token: str, headers: list[tuple[bytes, bytes]], pieces: list[bytes]) -> tuple[int, dict[str, Any]]:
    async def run() -> tuple[int, dict[str, Any]]:
        pages = serving.Pages()
        try:
            return await exchange(pages, token, headers, pieces)
        finally:
            await pages.close()

    return asyncio.run(run())


def length(pieces: list[bytes], stated: bool) -> tuple[bytes, bytes]:
    total = str(sum(map(len, pieces))).encode()
    return (b"content-length", total) if stated else (b"transfer-encoding", b"chunked")


@pytest.mark.parametrize("stated", [True, False], ids=["with its length", "chunked"])
def test_a_body_in_pieces_is_read_whole(ada: Caller, stated: bool) -> None:
    pieces = [BODY[:20], BODY[20:]]
    status, answer = post(ada.token, [length(pieces, stated)], pieces)
    assert status == 201, answer
    assert answer["quantity"] == "0.5"


@pytest.mark.parametrize("stated", [True, False], ids=["with its length", "chunked"])
@pytest.mark.parametrize("count", [5, 17, 200])
def test_a_large_body_in_pieces_is_refused(ada: Caller, count: int, stated: bool) -> None:
    pieces = [b" " * 65536] * count
    status, answer = post(ada.token, [length(pieces, stated)], pieces)
    assert (status, answer["status"]) == (413, 413)


def test_requests_share_few_threads_and_leave_no_connection_behind(ada: Caller) -> None:
    def links() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            return int(cursor.fetchone()[0])

    def links_from_a_thread() -> int:
        try:
            return links() - 1
        finally:
            connection.close()

    async def run() -> int:
        pages = serving.Pages()
        try:
            for _ in range(10):
                ask = [exchange(pages, ada.token, [], [b""], "GET", "/api/v1/instruments") for _ in range(4)]
                assert [status for status, _ in await asyncio.gather(*ask)] == [200] * 4
            return await sync_to_async(links_from_a_thread, thread_sensitive=False)()
        finally:
            await pages.close()

    before = links()
    during = asyncio.run(run())
    assert 1 <= during - before <= 4
    eventually(lambda: links() == before, 5)  # a backend that was left takes a moment to go
