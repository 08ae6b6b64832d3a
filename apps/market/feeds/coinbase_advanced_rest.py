"""What does Coinbase Advanced Trade answer in public by REST? Products, trades, candles and its clock.

Reference: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/rest-api. Trades are asked for by time, newest
first, so those of a hole are walked back to. The `side` of a trade is the maker's.
"""

import time
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import quote

import msgspec

from apps.domain import feed_rules
from apps.domain.ticks import Tick
from apps.market.feeds import fetched
from apps.market.feeds.answers import ask
from apps.market.feeds.base import VenueProduct
from apps.market.feeds.candles import VenueCandle
from apps.market.feeds.coinbase_products import ListedProduct
from apps.market.feeds.rest import FeedUnavailable, RestClient, RestTimings

PAGE = 1000
PAGES = 100  # walked back at most for one hole
BARS = 350
BASE = "/api/v3/brokerage"
GRANULARITIES = {
    60: "ONE_MINUTE",
    300: "FIVE_MINUTE",
    900: "FIFTEEN_MINUTE",
    1800: "THIRTY_MINUTE",
    3600: "ONE_HOUR",
    7200: "TWO_HOUR",
    14400: "FOUR_HOUR",
    21600: "SIX_HOUR",
    86400: "ONE_DAY",
}
TAKER_OF_MAKER = {"BUY": "sell", "SELL": "buy"}

_Query = dict[str, str | int]


class _Trade(msgspec.Struct, gc=False):
    trade_id: str
    price: str
    size: str = "0"
    side: str = ""
    time: str = ""

    @property
    def id(self) -> int:
        return int(self.trade_id) if self.trade_id.isascii() and self.trade_id.isdigit() else 0


class _Trades(msgspec.Struct):
    trades: list[_Trade]
    best_bid: str = ""
    best_ask: str = ""


class _Product(ListedProduct, kw_only=True):
    product_id: str
    base_currency_id: str = ""
    quote_currency_id: str = ""
    price_increment: str = ""
    quote_min_size: str = ""
    view_only: bool = False
    is_disabled: bool = False


class _Products(msgspec.Struct):
    products: list[_Product]


class _Candle(msgspec.Struct, gc=False):
    start: str
    low: Decimal
    high: Decimal
    open: Decimal
    close: Decimal
    volume: Decimal


class _Candles(msgspec.Struct):
    candles: list[_Candle]


class _Time(msgspec.Struct):
    iso: datetime


class AdvancedRest:
    """The public questions of Coinbase Advanced Trade. Every method raises FeedUnavailable."""

    def __init__(self, base_url: str, timings: RestTimings | None = None) -> None:
        self._client = RestClient(base_url, timings)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def products(self) -> list[VenueProduct]:
        """Return the products the venue lists."""
        return [_product(item) for item in ask(self._client, f"{BASE}/market/products", {}, _Products).products]

    def ticker(self, symbol: str) -> Tick:
        """Return the last trade of a product with the present quote, marked as refilled."""
        answer = ask(self._client, f"{_path(symbol)}/ticker", {"limit": 1}, _Trades)
        newest = max(answer.trades, key=lambda trade: trade.id, default=None)
        tick = _tick(symbol, newest, time.time_ns()) if newest else None
        if tick is None:
            raise FeedUnavailable(f"there is no believable last trade of {symbol}", permanent=False)
        return fetched.with_quote(tick, answer.best_bid, answer.best_ask)

    def trades(self, symbol: str, first_id: int, last_id: int) -> list[Tick]:
        """Return the trades with these ids, both ends included, that the venue has: oldest first."""
        found: dict[int, Tick] = {}
        query: _Query = {"limit": PAGE}
        oldest = 0
        for _ in range(PAGES):
            page = ask(self._client, f"{_path(symbol)}/ticker", query, _Trades).trades
            received_ns = time.time_ns()
            wanted = [trade for trade in page if first_id <= trade.id <= last_id]
            found |= {tick.trade_id: tick for trade in wanted if (tick := _tick(symbol, trade, received_ns))}
            first = min(page, key=lambda trade: trade.id, default=None)
            if first is None or first.id <= first_id or (oldest and first.id >= oldest):
                break
            oldest = first.id
            at_ns = feed_rules.instant_ns(first.time)
            if at_ns is None:
                break
            # Whole seconds, rounded up: the page overlaps the last one by the trades of that second.
            end = -(-at_ns // 1_000_000_000)
            query = {"limit": PAGE, "start": end - 86400, "end": end}
        return [found[trade_id] for trade_id in sorted(found)]

    def candles(self, symbol: str, granularity: int, since: datetime, until: datetime) -> list[VenueCandle]:
        """Return the candles that open within [since, until), oldest first; `granularity` is in seconds.

        Bars without a trade are absent, as at the venue. Raises ValueError for a granularity the venue does not have.
        """
        if granularity not in GRANULARITIES:
            raise ValueError(f"{granularity} s is no candle of this venue; it has {tuple(GRANULARITIES)}")
        bars: dict[str, VenueCandle] = {}
        start, last = int(since.timestamp()), int(until.timestamp())
        while start < last:
            end = min(start + granularity * (BARS - 1), last)
            query: _Query = {"granularity": GRANULARITIES[granularity], "start": start, "end": end, "limit": BARS}
            for row in ask(self._client, f"{_path(symbol)}/candles", query, _Candles).candles:
                bars[row.start] = _candle(symbol, granularity, row)
            start = end
        found = sorted(bars.values(), key=lambda bar: bar.opened_at)
        return [bar for bar in found if since <= bar.opened_at < until]

    def time(self) -> datetime:
        """Return the venue's clock."""
        return ask(self._client, f"{BASE}/time", {}, _Time).iso


def _path(symbol: str) -> str:
    return f"{BASE}/market/products/{quote(symbol, safe='')}"


def _tick(symbol: str, trade: _Trade, received_ns: int) -> Tick | None:
    return fetched.tick(
        symbol=symbol,
        price=trade.price,
        trade_id=trade.id,
        size=trade.size,
        side=TAKER_OF_MAKER.get(trade.side, ""),
        venue_time=trade.time,
        received_ns=received_ns,
    )


def _product(item: _Product) -> VenueProduct:
    return VenueProduct(
        symbol=item.product_id,
        base=item.base_currency_id,
        quote=item.quote_currency_id,
        price_increment=item.price_increment or item.quote_increment,
        size_increment=item.base_increment,
        min_notional=item.quote_min_size,
        is_trading=item.is_trading and not item.view_only and not item.is_disabled,
        status=item.status,
    )


def _candle(symbol: str, seconds: int, row: _Candle) -> VenueCandle:
    return VenueCandle(
        symbol=symbol,
        seconds=seconds,
        opened_at=datetime.fromtimestamp(int(row.start), UTC),
        open=row.open,
        high=row.high,
        low=row.low,
        close=row.close,
        volume=row.volume,
    )
