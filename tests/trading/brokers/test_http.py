"""What every broker by HTTP relies on: each way a request can fail has one class, and each key one pace."""

import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from apps.trading.brokers import http
from apps.trading.brokers.base import Access, BrokerBusy, BrokerRefused, BrokerUnclear
from apps.trading.brokers.http import Denied, Limits, Line, NotFound, Pace

SECRET = "canary-5up3r"
QUICK = Limits(connect=1.0, read=0.3, deadline=0.8, max_bytes=1000)


class Scripted:
    """A server that reads one request per connection and answers with the bytes it was given, piece by piece."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.pieces: list[bytes] = []
        self.pause = 0.0
        self.resets = False
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        try:
            self.requests.append(whole_request(connection))
            for piece in self.pieces:
                connection.sendall(piece)
                time.sleep(self.pause)
            if self.resets:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        except OSError:
            return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def whole_request(connection: socket.socket) -> bytes:
    """Read until the body is there: it may come in a packet of its own."""
    raw = b""
    while b"\r\n\r\n" not in raw or len(raw.partition(b"\r\n\r\n")[2]) < body_size(raw):
        piece = connection.recv(65536)
        if not piece:
            break
        raw += piece
    return raw


def body_size(raw: bytes) -> int:
    found = re.search(rb"content-length: (\d+)", raw.lower())
    return int(found[1]) if found else 0


@pytest.fixture
def server() -> Iterator[Scripted]:
    with closing(Scripted()) as running:
        yield running


@pytest.fixture
def line(server: Scripted) -> Iterator[Line]:
    with closing(Line(f"http://127.0.0.1:{server.port}", SECRET, signed, QUICK)) as opened:
        yield opened


def signed(method: str, target: str, body: bytes) -> dict[str, str]:
    return {"Authorization": SECRET, "X-Signed": f"{method} {target} {len(body)}"}


def whole(status: str, body: bytes = b"{}", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def ask(line: Line) -> object:
    return line.read("/path")


def send(line: Line) -> object:
    return line.change("POST", "/path", {"a": "1"})


@pytest.mark.parametrize(
    ("status", "asked", "sent"),
    [
        ("400 Bad Request", BrokerRefused, BrokerRefused),
        ("401 Unauthorized", Denied, Denied),
        ("403 Forbidden", Denied, Denied),
        ("404 Not Found", NotFound, NotFound),
        ("408 Request Timeout", BrokerBusy, BrokerUnclear),
        ("418 Teapot", BrokerBusy, BrokerBusy),
        ("422 Unprocessable", BrokerRefused, BrokerRefused),
        ("429 Too Many Requests", BrokerBusy, BrokerBusy),
        ("500 Internal Server Error", BrokerBusy, BrokerUnclear),
        ("503 Service Unavailable", BrokerBusy, BrokerUnclear),
        ("504 Gateway Timeout", BrokerBusy, BrokerUnclear),
    ],
)
def test_each_status_has_its_class(server: Scripted, status: str, asked: type, sent: type) -> None:
    server.pieces = [whole(status, b"why not")]
    for act, expected in ((ask, asked), (send, sent)):
        # A line of its own each: a 429 closes the pace of its key.
        with closing(Line(f"http://127.0.0.1:{server.port}", f"{act.__name__}", signed, QUICK)) as line:
            with pytest.raises(expected) as failure:
                act(line)
            assert type(failure.value) is expected
            assert "why not" in str(failure.value)
            assert SECRET not in str(failure.value)


@pytest.mark.parametrize(
    ("pieces", "pause", "resets"),
    [
        ([], 0.6, False),
        ([b""], 0.6, False),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{"], 0.5, False),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", *[b" "] * 8], 0.15, False),
        ([whole("200 OK", b"x" * 2000)], 0.0, False),
        ([whole("200 OK", b"<html>")], 0.0, False),
        ([whole("200 OK", b"\xff\xfe")], 0.0, False),
        ([b"nonsense\r\n\r\n"], 0.0, False),
        ([], 0.0, True),
    ],
    ids=["closed", "silent", "torn", "dripping", "too large", "html", "no text", "no http", "reset"],
)
def test_an_answer_that_cannot_be_read_is_unclear_for_what_may_have_changed_something(
    server: Scripted, line: Line, pieces: list[bytes], pause: float, resets: bool
) -> None:
    server.pieces, server.pause, server.resets = pieces, pause, resets
    with pytest.raises(BrokerUnclear):
        send(line)
    with pytest.raises(BrokerBusy):
        ask(line)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://nowhere.invalid", "https://127.0.0.1:9"])
@pytest.mark.parametrize("act", [ask, send])
def test_a_connection_that_never_stood_had_no_effect(address: str, act: Callable[[Line], object]) -> None:
    with closing(Line(address, "", signed, QUICK)) as line, pytest.raises(BrokerBusy):
        act(line)


@pytest.mark.parametrize("act", [ask, send])
def test_a_redirect_is_refused_and_not_followed(server: Scripted, line: Line, act: Callable[[Line], object]) -> None:
    server.pieces = [whole("302 Found", b"", f"Location: http://127.0.0.1:{server.port}/else")]
    with pytest.raises(BrokerRefused):
        act(line)
    assert len(server.requests) == 1


def test_a_good_answer_is_decoded_and_the_request_is_what_was_signed(server: Scripted, line: Line) -> None:
    server.pieces = [whole("200 OK", b'{"a": ["1.10"]}')]
    assert line.change("POST", "/path", {"b": "2"}, kind=dict[str, list[str]]) == {"a": ["1.10"]}
    assert line.read("/path", (("x", "1 2"), ("x", "3"))) == {"a": ["1.10"]}
    sent, asked = server.requests
    assert sent.startswith(b"POST /path HTTP/1.1\r\n")
    assert sent.endswith(b'\r\n\r\n{"b":"2"}')
    assert b"X-Signed: POST /path 9\r\n" in sent
    assert b"X-Signed: GET /path?x=1+2&x=3 0\r\n" in asked


def test_an_answer_of_another_shape_is_no_answer(server: Scripted, line: Line) -> None:
    server.pieces = [whole("200 OK", b'{"a": 1}')]
    with pytest.raises(BrokerUnclear):
        line.change("POST", "/path", {}, kind=dict[str, str])


def test_no_answer_body_is_null(server: Scripted, line: Line) -> None:
    server.pieces = [whole("204 No Content", b"")]
    assert line.change("DELETE", "/path") is None


def test_a_limit_closes_the_pace_of_the_key_and_of_no_other(server: Scripted, line: Line) -> None:
    server.pieces = [whole("429 Too Many Requests", b"", "Retry-After: 30")]
    with pytest.raises(BrokerBusy) as busy:
        send(line)
    assert busy.value.after == 30
    server.pieces = [whole("200 OK")]
    with pytest.raises(BrokerBusy) as busy:
        ask(line)
    assert 29 < busy.value.after <= 30
    assert len(server.requests) == 1
    with closing(Line(f"http://127.0.0.1:{server.port}", "another key", signed, QUICK)) as other:
        assert ask(other) == {}


def test_nothing_secret_is_logged_or_hangs_on_an_error(
    server: Scripted, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.resets = True
    with pytest.raises(BrokerUnclear) as unclear:
        send(line)
    error = unclear.value
    assert error.__cause__ is None
    assert error.__context__ is None  # the failed request carries our headers
    assert caplog.records
    assert SECRET not in caplog.text + repr(error) + repr(error.__dict__)


class TestPace:
    def make(self, **more: float) -> tuple[Pace, list[float]]:
        now = [100.0]
        return Pace(per_second=2.0, burst=3.0, clock=lambda: now[0], **more), now

    def test_a_burst_is_free_and_then_turns_come_at_the_rate(self) -> None:
        pace, now = self.make()
        assert [pace.reserve(10) for _ in range(5)] == [0, 0, 0, 0.5, 1.0]
        now[0] += 10
        assert pace.reserve(10) == 0

    def test_a_turn_too_far_off_is_not_taken(self) -> None:
        pace, _ = self.make()
        for _ in range(3):
            pace.reserve(0)
        assert [pace.reserve(0.1) for _ in range(3)] == [0.5, 0.5, 0.5]

    def test_a_pause_holds_everybody_until_it_is_over(self) -> None:
        pace, now = self.make()
        pace.pause(5)
        pace.pause(1)
        assert pace.reserve(0) == 5
        now[0] += 5
        assert pace.reserve(0) == 0

    def test_one_key_at_one_address_has_one_pace(self) -> None:
        limits = Limits()
        assert http.pace_of("http://a", "k", limits) is http.pace_of("http://a", "k", limits)
        assert http.pace_of("http://a", "k", limits) is not http.pace_of("http://a", "l", limits)
        assert http.pace_of("http://a", "k", limits) is not http.pace_of("http://b", "k", limits)


@pytest.mark.parametrize(
    ("text", "seconds"), [("7", 7.0), ("0", 0.0), ("", 1.0), ("soon", 1.0), ("-3", 1.0), ("99999999", 120.0)]
)
def test_what_a_venue_asks_us_to_wait_is_believed_within_reason(text: str, seconds: float) -> None:
    assert http.asked_wait({"Retry-After": text}) == seconds


@pytest.mark.parametrize("given", [0, -1, "fast", None, float("nan"), float("inf"), []])
def test_a_limit_that_is_no_positive_number_is_refused(given: object) -> None:
    with pytest.raises(BrokerRefused, match="requests_per_second"):
        http.limits_of(Access(address="", options={"requests_per_second": given}))


def test_an_account_may_choose_its_limits() -> None:
    chosen = http.limits_of(Access(address="", options={"read_timeout": 0.5, "requests_per_second": "3"}))
    assert (chosen.read, chosen.per_second, chosen.connect) == (0.5, 3.0, Limits().connect)
