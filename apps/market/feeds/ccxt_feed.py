"""How are prices received from any exchange that ccxt knows? By asking it for tickers, through ccxt.

ccxt is an extra (requirements-exchanges.txt): it is large, and only imported when this feed is used. It is told to
leave numbers as text, so no price passes through a float.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from importlib import import_module
from typing import Any, ClassVar

from apps.domain.plugins import PluginError
from apps.domain.ticks import Tick
from apps.market.feeds import fetched
from apps.market.feeds.base import FeedConfig, FeedSink, VenueProduct, VenueRest
from apps.market.feeds.candles import VenueCandle
from apps.market.feeds.exact import iso_of_ms, ns_of, plain
from apps.market.feeds.gated import Trade
from apps.market.feeds.polling import PollingFeed
from apps.market.feeds.rest import FeedUnavailable

PAGE = 500
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


class CcxtFeed(PollingFeed):
    """The last price of each product of one exchange, asked for through ccxt; the products carry ccxt's names."""

    name = "ccxt"
    title = "any exchange by ccxt"
    options: ClassVar[Mapping[str, str]] = {"exchange": "The exchange's id in ccxt, like kraken or coinbaseexchange."}

    def __init__(self, config: FeedConfig, sink: FeedSink) -> None:
        self._exchange = Exchange(config)
        super().__init__(config, sink)

    def ask(self, symbol: str) -> Sequence[Trade]:
        """Return the last price of one product. Raises FeedUnavailable."""
        return (self._exchange.last(symbol),)

    def let_go(self) -> None:
        """Close the connections."""
        self._exchange.close()

    def rest(self) -> VenueRest:
        """Return a client of the same exchange; the caller closes it."""
        return CcxtRest(self.config)


class Exchange:
    """One exchange of ccxt, with its errors as ours."""

    def __init__(self, config: FeedConfig) -> None:
        self._ccxt = _library()
        name = config.options.get("exchange", "")
        if name not in self._ccxt.exchanges:
            raise PluginError(f"ccxt knows no exchange {name!r}: set the option exchange of the ccxt feed")
        limit_ms = int(config.timings.kill_after * 1000)
        # Any: ccxt is not typed
        self.api: Any = getattr(self._ccxt, name)(
            {"enableRateLimit": True, "timeout": limit_ms, "apiKey": config.key, "secret": config.secret}
        )
        self.api.number = str
        if config.rest_url:
            self.api.urls["api"] = _moved(self.api.urls["api"], config.rest_url.rstrip("/"))
            self.api.session.trust_env = False
        self._is_closed = False

    def close(self) -> None:
        """Let go of the connections."""
        self._is_closed = True
        self.api.session.close()

    def last(self, symbol: str) -> Trade:
        """Return the last price of a product. Raises FeedUnavailable."""
        with self.asking(symbol):
            found = self.api.fetch_ticker(symbol)
        return Trade(
            symbol=symbol,
            price=_text(found.get("last")),
            bid=_text(found.get("bid")),
            ask=_text(found.get("ask")),
            venue_time=_iso(found.get("timestamp")),
        )

    @contextmanager
    def asking(self, subject: str) -> Iterator[None]:
        """Turn what ccxt raises into FeedUnavailable; `permanent` for what no repeat can mend."""
        if self._is_closed:
            raise FeedUnavailable("the client is closed", permanent=True)
        ccxt = self._ccxt
        try:
            yield
        except (ccxt.BadSymbol, ccxt.NotSupported, ccxt.AuthenticationError) as error:
            raise FeedUnavailable(f"{subject}: {str(error)[:200]}", permanent=True) from error
        except (ccxt.BaseError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            # The last four are what ccxt raises on an answer it did not foresee.
            raise FeedUnavailable(f"{subject}: {type(error).__name__} {str(error)[:200]}", permanent=False) from error


class CcxtRest:
    """What an exchange answers through ccxt. Every method raises FeedUnavailable."""

    def __init__(self, config: FeedConfig) -> None:
        self._exchange = Exchange(config)

    def close(self) -> None:
        """Let go of the connections."""
        self._exchange.close()

    def products(self) -> list[VenueProduct]:
        """Return the products the exchange lists, under ccxt's names."""
        with self._exchange.asking("products"):
            return [_product(market) for market in self._exchange.api.load_markets().values()]

    def ticker(self, symbol: str) -> Tick:
        """Return the last price of a product, marked as refilled."""
        found = self._exchange.last(symbol)
        tick = fetched.tick(symbol=symbol, price=found.price, venue_time=found.venue_time, received_ns=time.time_ns())
        if tick is None:
            raise FeedUnavailable(f"the price of {symbol} cannot be believed: {found.price[:40]!r}", permanent=False)
        return fetched.with_quote(tick, found.bid, found.ask)

    def trades(self, symbol: str, first_id: int, last_id: int) -> list[Tick]:
        """Return nothing: what a number means differs between exchanges; ask by time (`trades_between`)."""
        del symbol, first_id, last_id
        return []

    def trades_between(self, symbol: str, since: datetime, until: datetime) -> list[Tick]:
        """Return the trades of [since, until) that the exchange gives, oldest first, marked as refilled."""
        found: list[Tick] = []
        for trade in self._pages("fetch_trades", symbol, since, until, lambda trade: trade["timestamp"]):
            tick = fetched.tick(
                symbol=symbol,
                price=_text(trade.get("price")),
                size=_text(trade.get("amount")),
                side=str(trade.get("side") or ""),
                venue_time=_iso(trade.get("timestamp")),
                received_ns=time.time_ns(),
            )
            found += [tick] if tick else []
        return found

    def candles(self, symbol: str, granularity: int, since: datetime, until: datetime) -> list[VenueCandle]:
        """Return the candles that open within [since, until), oldest first; `granularity` is in seconds.

        Raises ValueError for a granularity the exchange does not have.
        """
        frame = _timeframe(granularity)
        if frame not in (self._exchange.api.timeframes or {}):
            raise ValueError(f"{granularity} s is no candle of this exchange")
        rows = self._pages("fetch_ohlcv", symbol, since, until, lambda row: row[0], frame)
        try:
            return [_candle(symbol, granularity, row) for row in rows]
        except InvalidOperation as error:
            raise FeedUnavailable(f"a candle of {symbol} is no number", permanent=False) from error

    def time(self) -> datetime:
        """Return the exchange's clock."""
        with self._exchange.asking("time"):
            return datetime.fromtimestamp(int(self._exchange.api.fetch_time()) / 1000, UTC)

    def _pages(self, method: str, symbol: str, since: datetime, until: datetime, at: Any, *arguments: str) -> list[Any]:
        """Return the rows of a span, page by page; `at` reads a row's time in ms."""
        start, end = ns_of(since) // 1_000_000, ns_of(until) // 1_000_000
        found: dict[str, Any] = {}
        while start < end:
            with self._exchange.asking(symbol):
                page = getattr(self._exchange.api, method)(symbol, *arguments, since=start, limit=PAGE)
                found |= {repr(row): row for row in page if start <= at(row) < end}
                newest = max((at(row) for row in page), default=start)
            if newest <= start:
                break
            start = newest
        return sorted(found.values(), key=at)


def _library() -> Any:
    try:
        return import_module("ccxt")
    except ImportError as error:
        raise PluginError(
            f"the ccxt feed needs ccxt, which is not installed ({error}): pip install -r requirements-exchanges.txt"
        ) from error


def _moved(urls: Any, base: str) -> Any:
    """Return ccxt's addresses, however nested, with another one in place of each."""
    return {name: _moved(value, base) for name, value in urls.items()} if isinstance(urls, dict) else base


def _text(value: object) -> str:
    text = "" if value is None else str(value)
    return plain(text) if "e" in text.lower() else text


def _iso(milliseconds: object) -> str:
    return iso_of_ms(milliseconds) if isinstance(milliseconds, int) else ""


def _timeframe(seconds: int) -> str:
    for unit, letter in _UNITS:
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds // unit}{letter}"
    raise ValueError(f"{seconds} s is no candle")


def _product(market: Mapping[str, Any]) -> VenueProduct:
    precision, limits = market.get("precision") or {}, market.get("limits") or {}
    return VenueProduct(
        symbol=str(market["symbol"]),
        base=str(market.get("base") or ""),
        quote=str(market.get("quote") or ""),
        price_increment=fetched.increment(_text(precision.get("price"))),
        size_increment=fetched.increment(_text(precision.get("amount"))),
        min_notional=fetched.increment(_text((limits.get("cost") or {}).get("min"))),
        is_trading=market.get("active") is not False,
        status="" if market.get("active") is None else str(market["active"]).lower(),
    )


def _candle(symbol: str, seconds: int, row: Sequence[Any]) -> VenueCandle:
    opened, high, low, close, volume = (Decimal(_text(value)) for value in row[1:6])
    return VenueCandle(
        symbol=symbol,
        seconds=seconds,
        opened_at=datetime.fromtimestamp(int(row[0]) / 1000, UTC),
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
    )
