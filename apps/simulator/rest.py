"""The public REST API in Coinbase Exchange's shapes: time, products, ticker, trades, candles, book, stats.

Another module adds its own resources by a table of routes of the same form (see `control.py`).
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime

from apps.simulator import products, protocol, tape
from apps.simulator.httpwire import Request, Response
from apps.simulator.venue import Venue

Handler = Callable[[Venue, Request, str], Response]
Routes = tuple[tuple[str, re.Pattern[str], Handler], ...]

GRANULARITIES = (60, 300, 900, 3600, 21600, 86400)
MAX_CANDLES = 300
MAX_TRADES = 1000
TOO_MANY = "granularity too small for the requested time range. Count of aggregations requested exceeds 300"


class Invalid(ValueError):
    """A parameter the exchange refuses with 400."""


class Missing(LookupError):
    """A resource the exchange does not have: 404."""


def answer(routes: Routes, venue: Venue, request: Request) -> Response | None:
    """The answer of the first route that fits, or None; HEAD is answered like GET."""
    method = "GET" if request.method == "HEAD" else request.method
    for verb, pattern, handler in routes:
        found = pattern.fullmatch(request.path)
        if verb == method and found:
            try:
                return handler(venue, request, found["id"] if pattern.groups else "")
            except Invalid as refused:
                return Response(status=400, body={"message": str(refused)})
            except Missing:
                return NOT_FOUND
    return None


NOT_FOUND = Response(status=404, body={"message": "NotFound"})


def time(venue: Venue, request: Request, _: str) -> Response:
    now_us = venue.now_us()
    return Response(body={"iso": protocol.iso(now_us), "epoch": now_us / 1_000_000})


def all_products(venue: Venue, request: Request, _: str) -> Response:
    return Response(body=venue.product_rows())


def _listed(venue: Venue, product_id: str) -> tape.Tape:
    if product_id not in venue.tapes:
        raise Missing(product_id)
    return venue.tapes[product_id]


def _last(venue: Venue, product_id: str) -> protocol.Trade:
    last = _listed(venue, product_id).last
    assert last is not None, "every product has a trade from before the start"
    return last


def product(venue: Venue, request: Request, product_id: str) -> Response:
    return Response(body=products.row(_listed(venue, product_id).product))


def ticker(venue: Venue, request: Request, product_id: str) -> Response:
    last = _last(venue, product_id)
    return Response(
        body={
            "ask": last.ask,
            "bid": last.bid,
            "volume": f"{last.volume_24h:.8f}",
            "trade_id": last.trade_id,
            "price": last.price,
            "size": last.size,
            "time": protocol.iso(last.time_us + venue.switches.skew_us),
        }
    )


def stats(venue: Venue, request: Request, product_id: str) -> Response:
    last = _last(venue, product_id)
    return Response(
        body={
            "open": last.open_24h,
            "high": last.high_24h,
            "low": last.low_24h,
            "last": last.price,
            "volume": f"{last.volume_24h:.8f}",
            "volume_30day": f"{last.volume_30d:.8f}",
        }
    )


def book(venue: Venue, request: Request, product_id: str) -> Response:
    last = _last(venue, product_id)
    if request.query.get("level", "1") != "1":
        raise Invalid("Invalid level")
    return Response(
        body={
            "bids": [[last.bid, last.bid_size, 1]],
            "asks": [[last.ask, last.ask_size, 1]],
            "sequence": last.sequence,
            "auction_mode": False,
            "auction": None,
            "time": protocol.iso(venue.now_us()),
        }
    )


def trades(venue: Venue, request: Request, product_id: str) -> Response:
    """Newest first; `before` and `after` are trade ids, exclusive: newer than, older than. The side is the maker's."""
    rows = _listed(venue, product_id).trades(
        newer_than=_whole(request, "before"),
        older_than=_whole(request, "after"),
        limit=_limit(request),
    )
    skew_us = venue.switches.skew_us
    body = [
        {
            "time": protocol.iso(time_us + skew_us),
            "trade_id": trade_id,
            "price": _eight_decimals(price),
            "size": _eight_decimals(size),
            "side": protocol.other_side(side),
        }
        for trade_id, time_us, price, size, side in rows
    ]
    cursors = {"CB-BEFORE": str(rows[0][0]), "CB-AFTER": str(rows[-1][0])} if rows else {}
    return Response(body=body, headers=cursors)


def _limit(request: Request) -> int:
    limit = _whole(request, "limit")
    if limit == 0:
        raise Invalid("Invalid limit")
    return min(MAX_TRADES, MAX_TRADES if limit is None else limit)


def _eight_decimals(text: str) -> str:
    whole, _, part = text.partition(".")
    return f"{whole}.{part:0<8}"


def candles(venue: Venue, request: Request, product_id: str) -> Response:
    """Rows of `[time, low, high, open, close, volume]`, newest first, at most 300, none for empty buckets."""
    asked = _listed(venue, product_id)
    asked_for = _whole(request, "granularity")
    seconds = 60 if asked_for is None else asked_for
    if seconds not in GRANULARITIES:
        raise Invalid("Unsupported granularity")
    start, end = _span(venue, request, seconds)
    if (end - start) // seconds > MAX_CANDLES:
        raise Invalid(TOO_MANY)
    first = -(-start // seconds) * seconds
    return Response(body=_rows(asked, first // 60, end // seconds * seconds // 60, seconds // 60))


def _rows(asked: tape.Tape, first: int, last: int, minutes: int) -> list[tuple[float, ...]]:
    bars = asked.candles(first, last, minutes)
    stamps = (bars[0] * 60).tolist()
    columns = [column.round(8).tolist() for column in bars[1:]]
    return list(zip(stamps, *columns, strict=True))[::-1][:MAX_CANDLES]


def _span(venue: Venue, request: Request, seconds: int) -> tuple[int, int]:
    """Both ends or, like the real exchange, the newest 300 candles when either is missing."""
    if "start" in request.query and "end" in request.query:
        start, end = _instant(request, "start"), _instant(request, "end")
        if start > end:
            raise Invalid("start must be before end")
        return start, end
    now = venue.now_us() // 1_000_000
    return now - (MAX_CANDLES - 1) * seconds, now


def _instant(request: Request, name: str) -> int:
    text = request.query[name]
    try:
        if re.fullmatch(r"[0-9]{1,11}(\.[0-9]{1,9})?", text):
            return int(float(text))
        # A plus sign arrives as a space when the client did not escape it.
        instant = datetime.fromisoformat(text.replace(" ", "+"))
        return int((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise Invalid(f"Invalid {name}") from None


def _whole(request: Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise Invalid(f"Invalid {name}")
    return int(text)


def _at(path: str) -> re.Pattern[str]:
    return re.compile(path.replace("{id}", "(?P<id>[^/]+)"))


ROUTES: Routes = (
    ("GET", _at("/time"), time),
    ("GET", _at("/products"), all_products),
    ("GET", _at("/products/{id}"), product),
    ("GET", _at("/products/{id}/ticker"), ticker),
    ("GET", _at("/products/{id}/stats"), stats),
    ("GET", _at("/products/{id}/trades"), trades),
    ("GET", _at("/products/{id}/candles"), candles),
    ("GET", _at("/products/{id}/book"), book),
)
