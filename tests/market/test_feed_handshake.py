"""A connection that does not come about is tried again, as soon as the reason for it allows."""

import socket
import time
from collections.abc import Callable

import pytest

from apps.market.feeds.base import FeedStatus
from tests.market.following import QUICK, following, wait_for
from tests.market.scenes import after_one_trade, closing, good
from tests.market.venue import running


def silent_handshake(number: int, connection: socket.socket) -> bool:
    if number == 1:
        connection.recv(4096)
        time.sleep(1.5)
        return False
    return True


def dripping_handshake(number: int, connection: socket.socket) -> bool:
    if number > 1:
        return True
    connection.recv(4096)
    for byte in b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" * 3:
        connection.sendall(bytes([byte]))
        time.sleep(0.02)
    return False


def answering(head: bytes) -> Callable[[int, socket.socket], bool]:
    def upgrade(number: int, connection: socket.socket) -> bool:
        if number > 1:
            return True
        connection.recv(4096)
        connection.sendall(head)
        return False

    return upgrade


@pytest.mark.parametrize(
    ("upgrade", "reason"),
    [
        pytest.param(silent_handshake, {"timeout", "handshake_timeout"}, id="handshake unanswered"),
        pytest.param(dripping_handshake, {"handshake_timeout"}, id="handshake drips"),
        pytest.param(answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), {"http_503"}, id="503"),
        pytest.param(answering(b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n"), {"http_429"}, id="429"),
        pytest.param(answering(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"), {"http_403"}, id="403"),
        pytest.param(answering(b"HTTP/1.1 302 Found\r\nLocation: ws://x/\r\n\r\n"), {"handshake"}, id="redirect"),
        pytest.param(answering(b"hello\r\n\r\n"), {"handshake"}, id="no HTTP"),
        pytest.param(answering(b"HTTP/1.1 101 Ok\r\n\r\n"), {"handshake"}, id="upgrade without its headers"),
        pytest.param(answering(b""), {"lost", "reset"}, id="hung up in the handshake"),
    ],
)
def test_a_handshake_that_fails_is_tried_again(upgrade: Callable[..., bool], reason: set[str]) -> None:
    with running(good, upgrade=upgrade) as venue, following(venue) as (feed, sink):
        wait_for(lambda: sink.ticks)
        assert len(feed.counters.reconnects) == 1
        assert set(feed.counters.reconnects) <= reason
        waited = venue.dialled[1] - venue.dialled[0]
        if reason & {"http_429", "http_403"}:
            assert waited >= QUICK.policy_delay
        else:
            assert waited < 1.2


def test_a_policy_close_waits_long() -> None:
    with running(after_one_trade(closing(1008, "policy")), good) as venue, following(venue) as (feed, sink):
        wait_for(lambda: 2 in sink.ids())
        assert feed.counters.reconnects == {"closed_1008": 1}
        assert venue.dialled[1] - venue.dialled[0] >= QUICK.policy_delay


def test_nobody_listening_is_retried_until_somebody_does() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with following(f"ws://127.0.0.1:{port}") as (feed, _):
        wait_for(lambda: feed.counters.reconnects["refused"] >= 3)
        assert feed.state().status in (FeedStatus.DOWN, FeedStatus.CONNECTING)


def test_a_proxy_in_the_environment_is_not_used_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with running(good) as venue, following(venue) as (_, sink):
        wait_for(lambda: sink.ticks)
