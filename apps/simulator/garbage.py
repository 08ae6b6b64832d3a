"""Broken messages: whole frames that no client should choke on, and tickers with one thing wrong."""

import re
from collections.abc import Callable

from apps.simulator import framing
from apps.simulator.framing import Op

HUGE = 5_000_000  # bytes

# Sent as extra frames beside the stream.
FRAMES: dict[str, Callable[[], bytes]] = {
    "not_json": lambda: framing.text(b'{"type":"ticker","product_id":"BTC-USD","price":'),
    "array": lambda: framing.text(b'["ticker",1,2,3]'),
    "bad_utf8": lambda: framing.text(b'{"type":"ticker","product_id":"\xff\xfe\xc0"}'),
    "binary": lambda: framing.encode(Op.BINARY, bytes(range(256))),
    "huge": lambda: framing.text(b'{"type":"noise","padding":"' + b"x" * HUGE + b'"}'),
    "empty": lambda: framing.text(b""),
    "unknown_type": lambda: framing.text(b'{"type":"auction","product_id":"BTC-USD","auction_state":"collection"}'),
}

_PRICE = re.compile(rb'"price":"[^"]*"')


def _with_price(replacement: bytes) -> Callable[[bytes], bytes]:
    return lambda payload: _PRICE.sub(b'"price":' + replacement, payload, count=1)


# Done to the next real trade on its way out: its true price is lost to the client, who can fetch it by REST.
MUTATIONS: dict[str, Callable[[bytes], bytes]] = {
    "nan": _with_price(b'"NaN"'),
    "null": _with_price(b"null"),
    "negative": _with_price(b'"-1.50"'),
    "zero": _with_price(b'"0"'),
    "1e400": _with_price(b'"1e400"'),
    "1e5": _with_price(b'"1e5"'),
    "long": _with_price(b'"123456789012345678901234567890"'),
    "missing_field": lambda payload: re.sub(rb'"price":"[^"]*",', b"", payload, count=1),
}

KINDS = (*FRAMES, *MUTATIONS)


def kinds(name: str) -> tuple[str, ...]:
    """The kinds a name stands for; raises ValueError for an unknown one."""
    if name == "all":
        return KINDS
    if name not in KINDS:
        raise ValueError(f"garbage {name!r} is unknown, choose from: all, {', '.join(KINDS)}")
    return (name,)
