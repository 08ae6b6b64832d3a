"""What does Alpaca answer by REST? Assets, last trades, trades of a span of time, bars, and the market's clock.

Reference: https://docs.alpaca.markets/reference. Trades are asked for by time: their numbers have no order. Numbers are
JSON numbers, so their digits are taken as they stand in the answer.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, TypeVar
from urllib.parse import quote

import msgspec

from apps.domain.ticks import Tick
from apps.market.feeds import fetched
from apps.market.feeds.answers import ask
from apps.market.feeds.base import VenueProduct
from apps.market.feeds.candles import VenueCandle
from apps.market.feeds.exact import NOTHING, instant_of, number
from apps.market.feeds.rest import FeedUnavailable, RestClient, RestTimings

PAGE = 10_000
TIMINGS = RestTimings(per_second=3.0, burst=6.0)  # 200 questions a minute on the free plan
TIMEFRAMES = {60: "1Min", 300: "5Min", 900: "15Min", 1800: "30Min", 3600: "1Hour", 14400: "4Hour", 86400: "1Day"}

# Reports whose price is none of the market now: averages, contingent and derivatively priced trades, those reported
# late or out of sequence, other settlements, and an official open or close that repeats an earlier print.
NOT_NOW = frozenset("BCGHLMNPQRUVWZ479")

_Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
T = TypeVar("T")


class _Trade(msgspec.Struct, gc=False):
    p: msgspec.Raw = NOTHING
    i: _Id = 0
    s: msgspec.Raw = NOTHING
    t: str = ""
    c: list[str] | None = None


class _Latest(msgspec.Struct):
    trade: _Trade


class _Trades(msgspec.Struct):
    trades: list[_Trade] | None = None
    next_page_token: str | None = None


class _Bar(msgspec.Struct, gc=False):
    t: str
    o: Decimal
    h: Decimal
    l: Decimal  # noqa: E741  # the venue's own name
    c: Decimal
    v: Decimal


class _Bars(msgspec.Struct):
    bars: list[_Bar] | None = None
    next_page_token: str | None = None


class _Asset(msgspec.Struct):
    symbol: str
    status: str = ""
    tradable: bool = False
    fractionable: bool = False


class _Clock(msgspec.Struct):
    timestamp: datetime


class AlpacaRest:
    """Questions of Alpaca's market data. Every method raises FeedUnavailable."""

    def __init__(
        self,
        base_url: str,
        *,
        key: str = "",
        secret: str = "",
        source: str = "iex",
        trading_url: str = "",
        timings: RestTimings | None = None,
    ) -> None:
        headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret} if key else None
        self._source = "sip" if source == "delayed_sip" else source
        self._prices = RestClient(base_url, timings or TIMINGS, headers)
        self._trading = RestClient(trading_url or base_url, timings or TIMINGS, headers)

    def close(self) -> None:
        """Let go of the connections."""
        self._prices.close()
        self._trading.close()

    def products(self) -> list[VenueProduct]:
        """Return the US equities that can be traded."""
        query: dict[str, str | int] = {"status": "active", "asset_class": "us_equity"}
        return [_product(asset) for asset in ask(self._trading, "/v2/assets", query, list[_Asset])]

    def ticker(self, symbol: str) -> Tick:
        """Return the last trade of a product, marked as refilled."""
        answer = ask(self._prices, f"{_path(symbol)}/trades/latest", {"feed": self._source}, _Latest)
        tick = _tick(symbol, answer.trade, time.time_ns())
        if tick is None:
            raise FeedUnavailable(f"there is no believable last trade of {symbol}", permanent=False)
        return tick

    def trades(self, symbol: str, first_id: int, last_id: int) -> list[Tick]:
        """Return nothing: trades of this venue are found by time (`trades_between`), not by number."""
        del symbol, first_id, last_id
        return []

    def trades_between(self, symbol: str, since: datetime, until: datetime) -> list[Tick]:
        """Return the trades of [since, until), oldest first, marked as refilled."""
        found: list[Tick] = []
        for page in self._pages(f"{_path(symbol)}/trades", since, until, {}, _Trades):
            received_ns = time.time_ns()
            found += [tick for trade in page.trades or () if (tick := _tick(symbol, trade, received_ns))]
        return [tick for tick in found if not tick.venue_time or instant_of(tick.venue_time) < until]

    def candles(self, symbol: str, granularity: int, since: datetime, until: datetime) -> list[VenueCandle]:
        """Return the unadjusted bars that open within [since, until), oldest first; `granularity` is in seconds.

        Raises ValueError for a granularity the venue does not have.
        """
        if granularity not in TIMEFRAMES:
            raise ValueError(f"{granularity} s is no candle of this venue; it has {tuple(TIMEFRAMES)}")
        extra: dict[str, str | int] = {"timeframe": TIMEFRAMES[granularity], "adjustment": "raw"}
        bars: dict[str, VenueCandle] = {}
        for page in self._pages(f"{_path(symbol)}/bars", since, until, extra, _Bars):
            bars |= {bar.t: _candle(symbol, granularity, bar) for bar in page.bars or ()}
        found = sorted(bars.values(), key=lambda bar: bar.opened_at)
        return [bar for bar in found if since <= bar.opened_at < until]

    def time(self) -> datetime:
        """Return the market's clock."""
        return ask(self._trading, "/v2/clock", {}, _Clock).timestamp.astimezone(UTC)

    def _pages(
        self, path: str, since: datetime, until: datetime, extra: dict[str, str | int], shape: type[T]
    ) -> Iterator[T]:
        query = {
            "start": since.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "end": until.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "limit": PAGE,
            "feed": self._source,
            "sort": "asc",
            **extra,
        }
        seen: set[str] = set()
        while True:
            page = ask(self._prices, path, query, shape)
            yield page
            token = getattr(page, "next_page_token", None)
            if not token or token in seen:
                return
            seen.add(token)
            query["page_token"] = token


def _path(symbol: str) -> str:
    return f"/v2/stocks/{quote(symbol, safe='')}"


def _tick(symbol: str, trade: _Trade, received_ns: int) -> Tick | None:
    if trade.c and not NOT_NOW.isdisjoint(trade.c):
        return None
    return fetched.tick(
        symbol=symbol,
        price=number(trade.p),
        trade_id=trade.i,
        size=number(trade.s),
        venue_time=trade.t,
        received_ns=received_ns,
    )


def _product(asset: _Asset) -> VenueProduct:
    return VenueProduct(
        symbol=asset.symbol,
        base=asset.symbol,
        quote="USD",
        price_increment="0.01",
        size_increment="0.000000001" if asset.fractionable else "1",
        min_notional="1",
        is_trading=asset.tradable and asset.status == "active",
        status=asset.status,
    )


def _candle(symbol: str, seconds: int, bar: _Bar) -> VenueCandle:
    return VenueCandle(
        symbol=symbol,
        seconds=seconds,
        opened_at=instant_of(bar.t),
        open=bar.o,
        high=bar.h,
        low=bar.l,
        close=bar.c,
        volume=bar.v,
    )
