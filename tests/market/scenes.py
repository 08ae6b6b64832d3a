"""What a test's venue does on a connection, told as scripts for `tests.market.venue`."""

import json
import time
from collections.abc import Callable

from tests.market.venue import PING, PONG, Peer, close_frame, frame, heartbeat, ticker


def good(peer: Peer) -> None:
    """Serve one trade per connection, numbered by the connection."""
    peer.subscribe()
    peer.send(ticker("BTC-USD", peer.number))
    beat(peer)


def beat(peer: Peer) -> None:
    while True:
        peer.send(heartbeat("BTC-USD", 0))
        time.sleep(0.05)


def after_one_trade(fault: Callable[[Peer], None]) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.subscribe()
        peer.send(ticker("BTC-USD", peer.number))
        fault(peer)

    return script


def stall(peer: Peer) -> None:
    peer.receive()


def stall_in_mid_frame(peer: Peer) -> None:
    peer.raw(frame("x" * 400)[:150])
    peer.receive()


def stall_in_the_header(peer: Peer) -> None:
    peer.raw(frame("x" * 400)[:1])
    peer.receive()


def drip(peer: Peer) -> None:
    for byte in frame("x" * 4000):
        peer.raw(bytes([byte]))
        time.sleep(0.02)


def pongs_only(peer: Peer) -> None:
    while True:
        peer.raw(frame(b"", PONG))
        time.sleep(0.02)


def pings_only(peer: Peer) -> None:
    while True:
        peer.raw(frame(b"are you there", PING))
        time.sleep(0.02)


def garbage_only(peer: Peer) -> None:
    while True:
        peer.send("no json")
        time.sleep(0.02)


def endless_frame(peer: Peer) -> None:
    peer.raw(b"\x81\x7f" + (1 << 40).to_bytes(8, "big"))
    while True:
        peer.raw(b"x" * 65536)


def bad_opcode(peer: Peer) -> None:
    peer.raw(frame("what", 0x5))
    peer.receive()


def message_within_a_message(peer: Peer) -> None:
    peer.raw(frame(b"half", fin=False) + frame(b"", PING) + frame(text(ticker("BTC-USD", 9))))
    peer.receive()
    peer.receive()


def fin(peer: Peer) -> None:
    peer.connection.close()


def closing(code: int, reason: str) -> Callable[[Peer], None]:
    return lambda peer: peer.raw(close_frame(code, reason))


def slow_close(peer: Peer) -> None:
    peer.raw(close_frame(1001, "going away"))
    time.sleep(3)


def text(message: dict[str, object]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
