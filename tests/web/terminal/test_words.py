"""What the terminal makes of numbers, instants, addresses and answers; needs neither a site nor a screen."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from apps.domain.errors import Refused
from apps.web.terminal import board, words
from apps.web.terminal.board import MOST_EVENTS, Board
from apps.web.terminal.site import Away, Declined, SignedOut, Site, address_of


@pytest.mark.parametrize(
    ("value", "text", "style"),
    [("12.345", "+12.34", "green"), ("-1234.5", "-1,234.50", "red"), ("0.001", "0.00", "dim"), (None, "–", "dim")],  # noqa: RUF001
)
def test_a_gain_has_a_sign_and_not_only_a_colour(value: str | None, text: str, style: str) -> None:
    shown = words.signed(None if value is None else Decimal(value))
    assert (shown.plain, shown.style) == (text, style)


@pytest.mark.parametrize(("seconds", "text"), [(3.2, "3 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h")])
def test_a_span_is_short(seconds: float, text: str) -> None:
    assert words.span(seconds) == text


def row(**more: Any) -> dict[str, Any]:
    legs = [
        {"kind": kind, "status": status, "level": level}
        for kind, status, level in (
            ("stop_loss", "live", "90"),
            ("stop_loss", "live", "95"),
            ("stop_loss", "cancelled", "99"),
            ("take_profit", "live", "120"),
            ("take_profit", "live", "110"),
        )
    ]
    values = {"id": 1, "instrument": "X-USD", "side": "long", "remaining": "2", "entry_price": "100", "legs": legs}
    return {**values, **more}


def test_the_nearest_level_counts_on_either_side() -> None:
    assert board.level(row(), "stop_loss") == 95
    assert board.level(row(), "take_profit") == 110
    assert board.level(row(side="short"), "stop_loss") == 90
    assert board.level(row(side="short"), "take_profit") == 120
    assert board.level(row(legs=[]), "stop_loss") is None


@pytest.mark.parametrize(("side", "gain"), [("long", "9"), ("short", "-9")])
def test_a_gain_follows_the_live_price(side: str, gain: str) -> None:
    known = Board()
    assert known.gain(row(side=side)) is None
    known.quoted({"instrument": "X-USD", "price": "104.5", "trade_id": 5})
    assert known.gain(row(side=side)) == Decimal(gain)


def test_events_are_kept_once_in_order_and_not_for_ever() -> None:
    known = Board()
    for number in [5, 3, 5, *range(10, 10 + MOST_EVENTS)]:
        known.happened({"id": number})
    assert [event["id"] for event in known.newest()] == list(range(9 + MOST_EVENTS, 9, -1))


def test_an_age_is_told_from_the_last_full_reading() -> None:
    assert Board().age(datetime.now(UTC)) is None


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://x.example/", "https://x.example"),
        ("x.example", "https://x.example"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://localhost/desk/", "http://localhost/desk"),
    ],
)
def test_an_address_is_read(text: str, address: str) -> None:
    assert address_of(text) == address


@pytest.mark.parametrize("text", ["http://x.example", "https://", "https://me:pw@x.example", "file:///etc"])
def test_an_address_that_would_tell_the_token_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        address_of(text)
    assert address_of("http://x.example", plain=True) == "http://x.example"


class Answering(BaseHTTPRequestHandler):
    """Answers what the path says: /api/v1/STATUS."""

    def do_GET(self) -> None:
        status = int(self.path.rpartition("/")[2])
        body = json.dumps({"detail": f"because {status}"}).encode() if status != 299 else b"<html>"
        self.send_response(200 if status == 299 else status)
        self.send_header("Content-Length", str(len(body)))
        if status == 429:
            self.send_header("Retry-After", "7")
        if status == 302:
            self.send_header("Location", "https://elsewhere.example/")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


def test_every_answer_has_one_meaning() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = Thread(target=server.serve_forever)
    thread.start()
    site = Site(f"http://127.0.0.1:{server.server_address[1]}", "t")
    try:
        assert site.read("200") == {"detail": "because 200"}
        with pytest.raises(SignedOut):
            site.read("401")
        with pytest.raises(Declined, match="because 403"):
            site.read("403")
        with pytest.raises(Declined, match="because 409"):
            site.read("409")
        with pytest.raises(Away, match="because 503"):
            site.read("503")
        with pytest.raises(Away, match="not JSON"):
            site.read("299")
        with pytest.raises(Away, match=r"elsewhere\.example"):
            site.read("302")
        with pytest.raises(Away) as caught:
            site.read("429")
        assert caught.value.after == 7
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    with pytest.raises(Away, match="nothing answers"):
        site.read("200")
    site.close()
    with pytest.raises(Away, match="not asked any more"):
        site.read("200")
