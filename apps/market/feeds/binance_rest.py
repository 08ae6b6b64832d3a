"""What does Binance answer by REST? Products, last trades, trades by id, candles and its clock.

Reference: https://developers.binance.com/docs/binance-spot-api-docs/rest-api. The address may weigh 6,000 a minute; a
page of old trades weighs 25, so at most three questions a second are asked.
"""

import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import msgspec

from apps.domain.ticks import Tick
from apps.market.feeds import fetched
from apps.market.feeds.answers import ask
from apps.market.feeds.base import VenueProduct
from apps.market.feeds.candles import VenueCandle
from apps.market.feeds.exact import iso_of_ms, ns_of
from apps.market.feeds.rest import FeedUnavailable, RestClient, RestTimings

PAGE = 1000
TIMINGS = RestTimings(per_second=3.0, burst=6.0)
INTERVALS = {
    1: "1s",
    60: "1m",
    180: "3m",
    300: "5m",
    900: "15m",
    1800: "30m",
    3600: "1h",
    7200: "2h",
    14400: "4h",
    21600: "6h",
    28800: "8h",
    43200: "12h",
    86400: "1d",
}

_Id = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
_Query = dict[str, str | int]


class _Trade(msgspec.Struct, gc=False, rename="camel"):
    id: _Id
    price: str
    qty: str = "0"
    time: int = 0
    is_buyer_maker: bool = False


class _Book(msgspec.Struct, rename="camel"):
    bid_price: str = ""
    ask_price: str = ""


class _Filter(msgspec.Struct, rename="camel"):
    filter_type: str = ""
    tick_size: str = ""
    step_size: str = ""
    min_notional: str = ""


class _Symbol(msgspec.Struct, rename="camel"):
    symbol: str
    status: str = ""
    base_asset: str = ""
    quote_asset: str = ""
    filters: list[_Filter] = []


class _Listing(msgspec.Struct):
    symbols: list[_Symbol]


class _Time(msgspec.Struct, rename="camel"):
    server_time: int


class _Row(msgspec.Struct, array_like=True, gc=False):
    opened_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class BinanceRest:
    """The public questions of Binance spot. Every method raises FeedUnavailable."""

    def __init__(self, base_url: str, *, key: str = "", timings: RestTimings | None = None) -> None:
        self._client = RestClient(base_url, timings or TIMINGS, {"X-MBX-APIKEY": key} if key else None)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def products(self) -> list[VenueProduct]:
        """Return the products the venue lists."""
        return [_product(item) for item in ask(self._client, "/api/v3/exchangeInfo", {}, _Listing).symbols]

    def ticker(self, symbol: str) -> Tick:
        """Return the last trade of a product with the present quote, marked as refilled."""
        trades = ask(self._client, "/api/v3/trades", {"symbol": symbol, "limit": 1}, list[_Trade])
        tick = _tick(symbol, trades[-1], time.time_ns()) if trades else None
        if tick is None:
            raise FeedUnavailable(f"there is no believable last trade of {symbol}", permanent=False)
        book = ask(self._client, "/api/v3/ticker/bookTicker", {"symbol": symbol}, _Book)
        return fetched.with_quote(tick, book.bid_price, book.ask_price)

    def trades(self, symbol: str, first_id: int, last_id: int) -> list[Tick]:
        """Return the trades with these ids, both ends included, that the venue has: oldest first."""
        found: list[Tick] = []
        start = first_id
        while start <= last_id:
            query: _Query = {"symbol": symbol, "fromId": start, "limit": min(PAGE, last_id - start + 1)}
            page = ask(self._client, "/api/v3/historicalTrades", query, list[_Trade])
            received_ns = time.time_ns()
            wanted = [trade for trade in page if start <= trade.id <= last_id]
            found += [tick for trade in wanted if (tick := _tick(symbol, trade, received_ns))]
            newest = max((trade.id for trade in page), default=0)
            if newest < start:
                break
            start = newest + 1
        return sorted(found, key=lambda tick: tick.trade_id)

    def candles(self, symbol: str, granularity: int, since: datetime, until: datetime) -> list[VenueCandle]:
        """Return the candles that open within [since, until), oldest first; `granularity` is in seconds.

        Bars without a trade come flat with volume 0, as the venue makes them; they are left out, as elsewhere.
        Raises ValueError for a granularity the venue does not have.
        """
        if granularity not in INTERVALS:
            raise ValueError(f"{granularity} s is no candle of this venue; it has {tuple(INTERVALS)}")
        start, end = _ms(since), _ms(until) - 1
        bars: dict[int, VenueCandle] = {}
        while start <= end:
            query: _Query = {
                "symbol": symbol,
                "interval": INTERVALS[granularity],
                "startTime": start,
                "endTime": end,
                "limit": PAGE,
            }
            page = ask(self._client, "/api/v3/klines", query, list[_Row])
            bars |= {row.opened_ms: _candle(symbol, granularity, row) for row in page if row.volume > 0}
            newest = max((row.opened_ms for row in page), default=end)
            if len(page) < PAGE or newest < start:
                break
            start = newest + 1
        return [bars[at] for at in sorted(bars) if since <= bars[at].opened_at < until]

    def time(self) -> datetime:
        """Return the venue's clock."""
        return datetime.fromtimestamp(ask(self._client, "/api/v3/time", {}, _Time).server_time / 1000, UTC)


def _ms(instant: datetime) -> int:
    return ns_of(instant) // 1_000_000


def _tick(symbol: str, trade: _Trade, received_ns: int) -> Tick | None:
    return fetched.tick(
        symbol=symbol,
        price=trade.price,
        trade_id=trade.id,
        size=trade.qty,
        side="sell" if trade.is_buyer_maker else "buy",
        venue_time=iso_of_ms(trade.time),
        received_ns=received_ns,
    )


def _product(item: _Symbol) -> VenueProduct:
    rules = {entry.filter_type: entry for entry in item.filters}
    notional = rules.get("NOTIONAL") or rules.get("MIN_NOTIONAL") or _Filter()
    return VenueProduct(
        symbol=item.symbol,
        base=item.base_asset,
        quote=item.quote_asset,
        price_increment=fetched.increment(rules.get("PRICE_FILTER", _Filter()).tick_size),
        size_increment=fetched.increment(rules.get("LOT_SIZE", _Filter()).step_size),
        min_notional=fetched.increment(notional.min_notional),
        is_trading=item.status == "TRADING",
        status=item.status,
    )


def _candle(symbol: str, seconds: int, row: _Row) -> VenueCandle:
    return VenueCandle(
        symbol=symbol,
        seconds=seconds,
        opened_at=datetime.fromtimestamp(row.opened_ms / 1000, UTC),
        open=row.open,
        high=row.high,
        low=row.low,
        close=row.close,
        volume=row.volume,
    )
