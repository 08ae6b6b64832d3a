"""How the two ends of a host talk: a JSON object, then the bytes of the arrays it announces, over a socket pair."""

import json
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apps.domain.strategies.contract import Candles

_LENGTHS = struct.Struct("!II")


def send(link: socket.socket, told: Mapping[str, Any], markets: Sequence[Candles] = ()) -> None:
    """Send a message with any number of candle arrays. Raises OSError, TimeoutError among them."""
    body = b"".join(_packed(candles) for candles in markets)
    head = json.dumps({**told, "bars": [len(candles.at) for candles in markets]}).encode()
    link.sendall(_LENGTHS.pack(len(head), len(body)) + head + body)


def receive(link: socket.socket) -> tuple[dict[str, Any], list[Candles]]:
    """Wait for a message. Raises EOFError when the other end is gone, OSError, TimeoutError among them."""
    head, body = _LENGTHS.unpack(_exactly(link, _LENGTHS.size))
    told = json.loads(_exactly(link, head))
    return told, _unpacked(_exactly(link, body), told["bars"])


def _packed(candles: Candles) -> bytes:
    values = np.stack([candles.open, candles.high, candles.low, candles.close, candles.volume]).astype(np.float64)
    return np.asarray(candles.at, np.int64).tobytes() + values.tobytes()


def _unpacked(body: bytes, bars: Sequence[int]) -> list[Candles]:
    found, start = [], 0
    for count in bars:
        at = np.frombuffer(body, np.int64, count, start)
        values = np.frombuffer(body, np.float64, 5 * count, start + at.nbytes).reshape(5, count)
        found.append(Candles(at, *values))
        start += at.nbytes + values.nbytes
    return found


def _exactly(link: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = link.recv(min(count - len(parts), 1 << 20))
        if not part:
            raise EOFError("the other end is gone")
        parts += part
    return bytes(parts)
