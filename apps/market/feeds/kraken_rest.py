"""What does Kraken answer by REST? Products, last trades, trades by id, the latest 720 candles, and its clock.

Reference: https://docs.kraken.com/api/docs/rest-api. Trades are asked for by time, not by number, so a number is
searched for. Bitcoin and Dogecoin carry other names here than on the WebSocket.
"""

import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

import msgspec

from apps.domain.ticks import Tick
from apps.market.feeds import fetched
from apps.market.feeds.answers import ask, decoded
from apps.market.feeds.base import VenueProduct
from apps.market.feeds.candles import VenueCandle
from apps.market.feeds.exact import iso_of_ns, number
from apps.market.feeds.rest import FeedUnavailable, RestClient, RestTimings

PAGE = 1000
BARS = 720  # the venue keeps no more, whatever is asked for
TIMINGS = RestTimings(per_second=1.0, burst=5.0)
GRANULARITIES = (60, 300, 900, 1800, 3600, 14400, 86400, 604800)

_OLD_NAMES = {"BTC": "XBT", "DOGE": "XDG"}
_NEW_NAMES = {old: new for new, old in _OLD_NAMES.items()}
_SIDES = {"b": "buy", "s": "sell"}
_BUSY = ("rate limit", "too many requests", "service:", "temporary lockout")
_SEARCHES = 16
_SECOND_NS = 1_000_000_000
T = TypeVar("T")


class _Row(msgspec.Struct, array_like=True, gc=False):
    price: str
    size: str
    at: msgspec.Raw  # seconds with a fraction, a JSON number
    side: str
    kind: str
    misc: str
    trade_id: int

    @property
    def at_ns(self) -> int:
        return int(Decimal(number(self.at)) * _SECOND_NS)


class _Bar(msgspec.Struct, array_like=True, gc=False):
    opened: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    vwap: Decimal
    volume: Decimal


class _Pair(msgspec.Struct):
    wsname: str = ""
    altname: str = ""
    tick_size: str = ""
    lot_decimals: int = 8
    costmin: str = ""
    status: str = ""


class _Book(msgspec.Struct):
    a: list[str] = []
    b: list[str] = []


class _Time(msgspec.Struct):
    unixtime: int


class _Answer(msgspec.Struct):
    error: list[str] = []
    result: msgspec.Raw = msgspec.Raw(b"{}")


class KrakenRest:
    """The public questions of Kraken spot. Every method raises FeedUnavailable."""

    def __init__(self, base_url: str, timings: RestTimings | None = None) -> None:
        self._client = RestClient(base_url, timings or TIMINGS)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def products(self) -> list[VenueProduct]:
        """Return the products the venue lists, under their WebSocket names."""
        pairs = self._ask("/0/public/AssetPairs", {}, dict[str, _Pair])
        return [_product(pair) for pair in pairs.values() if pair.wsname]

    def ticker(self, symbol: str) -> Tick:
        """Return the last trade of a product with the present quote, marked as refilled."""
        rows = self._page(symbol, {"count": 1})
        tick = _tick(symbol, rows[-1], time.time_ns()) if rows else None
        if tick is None:
            raise FeedUnavailable(f"there is no believable last trade of {symbol}", permanent=False)
        book = next(iter(self._ask("/0/public/Ticker", {"pair": _pair(symbol)}, dict[str, _Book]).values()), _Book())
        return fetched.with_quote(tick, book.b[0], book.a[0]) if book.a and book.b else tick

    def trades(self, symbol: str, first_id: int, last_id: int) -> list[Tick]:
        """Return the trades with these ids, both ends included, that the venue has: oldest first."""
        page = self._page_with(symbol, first_id)
        received_ns = time.time_ns()
        found: dict[int, Tick] = {}
        while page:
            wanted = [row for row in page if first_id <= row.trade_id <= last_id]
            found |= {tick.trade_id: tick for row in wanted if (tick := _tick(symbol, row, received_ns))}
            newest = page[-1]
            if newest.trade_id >= last_id:
                break
            # The cursor is a time and several trades may share it, so the next page begins with the last one of this.
            page = self._page(symbol, {"since": newest.at_ns - 1000, "count": PAGE})
            if not page or page[-1].trade_id <= newest.trade_id:
                break
        return [found[trade_id] for trade_id in sorted(found)]

    def candles(self, symbol: str, granularity: int, since: datetime, until: datetime) -> list[VenueCandle]:
        """Return the candles that open within [since, until), oldest first; `granularity` is in seconds.

        Raises ValueError for a granularity the venue does not have, and FeedUnavailable (permanent) for a span that
        begins before the 720 candles the venue keeps: a part would look like the whole.
        """
        if granularity not in GRANULARITIES:
            raise ValueError(f"{granularity} s is no candle of this venue; it has {GRANULARITIES}")
        query: dict[str, str | int] = {"pair": _pair(symbol), "interval": granularity // 60}
        query["since"] = int(since.timestamp()) - 1
        answer = self._ask("/0/public/OHLC", query, dict[str, msgspec.Raw])
        bars = decoded("/0/public/OHLC", bytes(_rows_of(answer)), list[_Bar])
        if len(bars) >= BARS and bars[0].opened > since.timestamp() + granularity:
            raise FeedUnavailable(f"Kraken keeps {BARS} candles of {granularity} s only", permanent=True)
        found = [_candle(symbol, granularity, bar) for bar in bars if bar.volume > 0]
        return [bar for bar in found if since <= bar.opened_at < until]

    def time(self) -> datetime:
        """Return the venue's clock, in whole seconds."""
        return fetched.as_instant(self._ask("/0/public/Time", {}, _Time).unixtime)

    def _page_with(self, symbol: str, trade_id: int) -> list[_Row]:
        """Return a page that begins at or before a trade: guessed from how fast trades follow each other."""
        page = self._page(symbol, {"count": PAGE})
        reach = 1.5
        for _ in range(_SEARCHES):
            if not page or page[0].trade_id <= trade_id:
                return page
            oldest, newest = page[0], page[-1]
            per_trade = max((newest.at_ns - oldest.at_ns) // max(len(page) - 1, 1), 1)
            back_ns = max(int((oldest.trade_id - trade_id) * per_trade * reach), _SECOND_NS)
            earlier = self._page(symbol, {"since": max(oldest.at_ns - back_ns, 0), "count": PAGE})
            if not earlier or earlier[0].trade_id >= oldest.trade_id:
                reach *= 4
            else:
                page = earlier
        return page

    def _page(self, symbol: str, query: dict[str, str | int]) -> list[_Row]:
        answer = self._ask("/0/public/Trades", {"pair": _pair(symbol), **query}, dict[str, msgspec.Raw])
        rows = decoded("/0/public/Trades", bytes(_rows_of(answer)), list[_Row])
        return sorted((row for row in rows if row.trade_id > 0), key=lambda row: row.trade_id)

    def _ask(self, path: str, query: dict[str, str | int], shape: type[T]) -> T:
        answer = ask(self._client, path, query, _Answer)
        if answer.error:
            words = "; ".join(answer.error)[:200]
            is_passing = any(word in words.lower() for word in _BUSY)
            raise FeedUnavailable(f"GET {path}: {words}", permanent=not is_passing)
        return decoded(path, bytes(answer.result), shape)


def _rows_of(answer: dict[str, msgspec.Raw]) -> msgspec.Raw:
    """Return the rows of the one pair in an answer; its key is the venue's old name for it."""
    return next((rows for name, rows in answer.items() if name != "last"), msgspec.Raw(b"[]"))


def _pair(symbol: str) -> str:
    return "".join(_OLD_NAMES.get(part, part) for part in symbol.split("/"))


def _tick(symbol: str, row: _Row, received_ns: int) -> Tick | None:
    return fetched.tick(
        symbol=symbol,
        price=row.price,
        trade_id=row.trade_id,
        size=row.size,
        side=_SIDES.get(row.side, ""),
        venue_time=iso_of_ns(row.at_ns),
        received_ns=received_ns,
    )


def _product(pair: _Pair) -> VenueProduct:
    base, _, quote = pair.wsname.partition("/")
    base, quote = _NEW_NAMES.get(base, base), _NEW_NAMES.get(quote, quote)
    return VenueProduct(
        symbol=f"{base}/{quote}",
        base=base,
        quote=quote,
        price_increment=fetched.increment(pair.tick_size),
        size_increment=fetched.increment(str(Decimal(1).scaleb(-pair.lot_decimals))),
        min_notional=fetched.increment(pair.costmin),
        is_trading=pair.status == "online",
        status=pair.status,
    )


def _candle(symbol: str, seconds: int, bar: _Bar) -> VenueCandle:
    return VenueCandle(
        symbol=symbol,
        seconds=seconds,
        opened_at=datetime.fromtimestamp(bar.opened, UTC),
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume=bar.volume,
    )
