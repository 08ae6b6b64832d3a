"""What does Coinbase Exchange answer by REST? Products, tickers, trades by id, candles and its clock.

Reference: https://docs.cdp.coinbase.com/exchange/reference. Two traps: the `side` of a REST trade is the maker's, the
one of a tick the taker's; and a candle row is `[time, low, high, open, close, volume]`.
"""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, TypeVar
from urllib.parse import quote

import msgspec

from apps.domain import feed_rules
from apps.domain.ticks import Tick
from apps.market.feeds.base import VenueProduct
from apps.market.feeds.candles import VenueCandle
from apps.market.feeds.coinbase_products import ListedProduct
from apps.market.feeds.rest import FeedUnavailable, RestClient, RestTimings

PAGE = 1000  # trades per answer
BARS = 300  # candles per answer
GRANULARITIES = (60, 300, 900, 3600, 21600, 86400)

_Id = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
_TAKER_OF_MAKER = {"buy": "sell", "sell": "buy"}
_Row = tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal]
T = TypeVar("T")


class _Trade(msgspec.Struct, gc=False):
    trade_id: _Id
    price: str
    size: str = "0"
    side: str = ""
    time: str = ""


class _TickerAnswer(msgspec.Struct, gc=False):
    trade_id: _Id
    price: str
    size: str = "0"
    bid: str = ""
    ask: str = ""
    time: str = ""


class _Product(ListedProduct, kw_only=True):
    id: str
    base_currency: str = ""
    quote_currency: str = ""
    min_market_funds: str = ""


class _Time(msgspec.Struct):
    iso: datetime


class CoinbaseRest:
    """The public questions of Coinbase Exchange. Every method raises FeedUnavailable."""

    def __init__(self, base_url: str, timings: RestTimings | None = None) -> None:
        self._client = RestClient(base_url, timings)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def products(self) -> list[VenueProduct]:
        """Return the products the venue lists."""
        return [
            VenueProduct(
                symbol=product.id,
                base=product.base_currency,
                quote=product.quote_currency,
                price_increment=product.quote_increment,
                size_increment=product.base_increment,
                min_notional=product.min_market_funds,
                is_trading=product.is_trading,
                status=product.status,
            )
            for product in self._ask("/products", {}, list[_Product])
        ]

    def ticker(self, symbol: str) -> Tick:
        """Return the last trade of a product, marked as refilled; its taker's side is not told."""
        answer = self._ask(f"{_path(symbol)}/ticker", {}, _TickerAnswer)
        tick = _tick(symbol, _Trade(answer.trade_id, answer.price, answer.size, "", answer.time), time.time_ns())
        if tick is None:
            raise FeedUnavailable(f"the ticker of {symbol} shows no price: {answer.price[:40]!r}", permanent=False)
        _, high = feed_rules.quote_of(answer.bid, answer.ask)
        is_market = high < float("inf")
        return msgspec.structs.replace(tick, bid=answer.bid, ask=answer.ask) if is_market else tick

    def trades(self, symbol: str, first_id: int, last_id: int) -> list[Tick]:
        """Return the trades with these ids, both ends included, that the venue has: oldest first, marked as refilled.

        Pages run from new to old; a trade whose numbers cannot be believed is left out.
        """
        found: dict[int, Tick] = {}
        after = last_id + 1
        while after > first_id:
            wanted = min(PAGE, after - first_id)
            page = self._ask(f"{_path(symbol)}/trades", {"after": after, "limit": wanted}, list[_Trade])
            received_ns = time.time_ns()
            for trade in page:
                tick = _tick(symbol, trade, received_ns) if first_id <= trade.trade_id <= last_id else None
                if tick is not None:
                    found[trade.trade_id] = tick
            oldest = min((trade.trade_id for trade in page), default=first_id)
            if oldest >= after:
                break  # the venue ignores the cursor: another page would be the same one
            after = oldest
        return [found[trade_id] for trade_id in sorted(found)]

    def candles(self, symbol: str, granularity: int, since: datetime, until: datetime) -> list[VenueCandle]:
        """Return the candles that open within [since, until), oldest first; `granularity` is in seconds.

        Bars without a trade are absent, as at the venue. Raises ValueError for a granularity the venue does not have.
        """
        if granularity not in GRANULARITIES:
            raise ValueError(f"{granularity} s is no candle of this venue; it has {GRANULARITIES}")
        bars: dict[int, VenueCandle] = {}
        start = since.astimezone(UTC)
        step = timedelta(seconds=granularity * BARS)
        while start < until:
            end = min(start + step, until.astimezone(UTC))
            query: dict[str, str | int] = {"granularity": granularity, "start": _iso(start), "end": _iso(end)}
            for row in self._ask(f"{_path(symbol)}/candles", query, list[_Row]):
                bars[row[0]] = _candle(symbol, granularity, row)
            start = end
        return [bars[at] for at in sorted(bars) if since <= bars[at].opened_at < until]

    def time(self) -> datetime:
        """Return the venue's clock."""
        return self._ask("/time", {}, _Time).iso

    def _ask(self, path: str, query: dict[str, str | int], shape: type[T]) -> T:
        body = self._client.get(path, query)
        try:
            return msgspec.json.decode(body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise FeedUnavailable(
                f"GET {path}: the answer makes no sense: {str(error)[:120]}", permanent=False
            ) from error


def _path(symbol: str) -> str:
    return f"/products/{quote(symbol, safe='')}"


def _iso(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def _tick(symbol: str, trade: _Trade, received_ns: int) -> Tick | None:
    try:
        price = feed_rules.read_price(trade.price)
    except feed_rules.PriceRefused:
        return None
    return Tick(
        symbol=symbol,
        price=price,
        text=trade.price,
        trade_id=trade.trade_id,
        sequence=0,
        size=trade.size if feed_rules.is_size(trade.size) else "0",
        side=_TAKER_OF_MAKER.get(trade.side, ""),
        bid="",
        ask="",
        venue_time=trade.time if feed_rules.instant_ns(trade.time) is not None else "",
        received_ns=received_ns,
        refilled=True,
    )


def _candle(symbol: str, seconds: int, row: _Row) -> VenueCandle:
    at, low, high, opened, closed, volume = row
    return VenueCandle(
        symbol=symbol,
        seconds=seconds,
        opened_at=datetime.fromtimestamp(at, UTC),
        open=opened,
        high=high,
        low=low,
        close=closed,
        volume=volume,
    )
