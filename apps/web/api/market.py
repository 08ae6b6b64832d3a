"""Market data over the API: instruments, quotes, candles and trades, from the cache and the market store."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.access.models import Scope
from apps.access.permissions import actor_of
from apps.domain.errors import Problem, Refused
from apps.market import cache, selectors
from apps.market.cache import LatestQuote, ListedInstrument
from apps.market.models import Instrument, Quote
from apps.market.services import instruments as instrument_services
from apps.market.store import Timeframe, ticks
from apps.web.api.conditional import Kept
from apps.web.api.described import READING, WRITING, answers
from apps.web.api.market_answers import (
    CandleOut,
    CandlePageOut,
    MarketInstrumentOut,
    MarketQuoteOut,
    TradeOut,
    TradePageOut,
)
from apps.web.api.market_asking import (
    MAX_CANDLES,
    MAX_TRADES,
    CandleFilter,
    InstrumentChangeIn,
    MarketInstrumentFilter,
    Place,
    QuoteFilter,
    TradeFilter,
)
from apps.web.api.views import Door, Listing
from apps.web.pagination import whole

DEFAULT_ROWS = 300
MAX_BUCKETS = 50_000  # a window of candles may span: 34 days of 1m, 5 years of 1h
MAX_TRADE_DAYS = timedelta(days=31)
TRADE_HOUR = timedelta(hours=1)

_INSTRUMENT = {
    "symbol": "BTC-USD",
    "feed": "coinbase",
    "fallback_feed": "kraken",
    "shard": 0,
    "base_currency": "BTC",
    "quote_currency": "USD",
    "tick_size": "0.01",
    "lot_size": "0.00000001",
    "min_quantity": "0.0001",
    "max_quantity": "1000000000000",
    "calendar": "24/7",
    "jump_band": "0.2",
    "enabled": True,
}
_QUOTE = {
    "instrument": "BTC-USD",
    "price": "60096.13",
    "bid": "60096.12",
    "ask": "60096.14",
    "spread": "0.02",
    "trade_id": 3688002,
    "at": "2026-11-21T09:11:58.397422Z",
    "received_at": "2026-11-21T09:11:58.401100Z",
    "heard_at": "2026-11-21T09:11:58.401100Z",
    "feed": "coinbase",
    "fresh": True,
}
_TRADE = {
    "trade_id": 3688002,
    "at": "2026-11-21T09:11:58.397422Z",
    "price": "60096.13",
    "size": "0.0125",
    "side": "buy",
    "received_at": "2026-11-21T09:11:58.401100Z",
    "refilled": False,
}
_TRADES = {
    "instrument": "BTC-USD",
    "next": {"after": "2026-11-21T09:11:58.397422Z,3688002"},
    "results": [_TRADE],
}
_CANDLE = {
    "at": "2026-11-21T09:00:00Z",
    "open": "60096.13",
    "high": "60120",
    "low": "60081.02",
    "close": "60102.5",
    "volume": "12.5301",
    "trades": 418,
    "closed": True,
}
_CANDLES = {
    "instrument": "BTC-USD",
    "timeframe": "1m",
    "next": {"until": "2026-11-21T09:00:00.000000Z"},
    "results": [_CANDLE],
}


def _example(name: str, value: dict[str, Any]) -> OpenApiExample:
    return OpenApiExample(name, value=value, response_only=True, status_codes=["200"])


def _limited(note: str, most: int) -> OpenApiParameter:
    return OpenApiParameter("limit", int, description=f"{note} 1 to {most}, {DEFAULT_ROWS} if left out.")


class InMemory(Kept, Listing, ABC):
    """A list from the cache, filtered here: constant work for the database, whatever is asked."""

    @abstractmethod
    def chosen(self, rows: Sequence[Any], given: dict[str, Any]) -> list[Any]:
        """Return the rows that the filters leave."""

    def listed(self, rows: Sequence[Any], **context: Any) -> Response:
        """Answer one page of the rows that the query string asks for. Raises ValidationError, Refused."""
        page = self.paginate_queryset(self.chosen(rows, self.given()))
        return self.answer(list(page or []), **context)


class MarketInstruments(InMemory):
    """List instruments."""

    queryset = Instrument.objects.none()
    serializer_class = MarketInstrumentOut
    filter_serializer = MarketInstrumentFilter
    keep = "private, max-age=2"

    def chosen(self, rows: Sequence[ListedInstrument], given: dict[str, Any]) -> list[ListedInstrument]:
        """Keep what has the prefix, currency, calendar and state asked for."""
        prefix, currency = given.get("prefix", ""), given.get("currency")
        return [
            row
            for row in rows
            if row.symbol.startswith(prefix)
            and currency in (None, row.quote_currency)
            and given.get("enabled") in (None, row.enabled)
            and given.get("calendar") in (None, row.calendar)
        ]

    @extend_schema(
        operation_id="market_instruments_list",
        summary="List instruments by prefix, currency, calendar or state",
        parameters=[MarketInstrumentFilter],
        responses=answers({200: MarketInstrumentOut(many=True)}, *READING),
        examples=[_example("An instrument", _INSTRUMENT)],
    )
    def get(self, request: Request) -> Response:
        """List what has a price, with the rules of its prices, quantities and hours."""
        return self.listed(cache.instruments())


class MarketInstrument(Kept, Door):
    """Look at one instrument, or change it."""

    queryset = Instrument.objects.none()
    serializer_class = MarketInstrumentOut
    keep = "private, max-age=2"

    @property
    def scope(self) -> Scope | None:
        """Changing an instrument is for administrators; reading needs what reading needs."""
        return Scope.ADMIN if self.request.method == "PATCH" else None

    @extend_schema(
        operation_id="market_instruments_show",
        summary="Show an instrument",
        responses=answers({200: MarketInstrumentOut}, *READING, 404),
        examples=[_example("An instrument", _INSTRUMENT)],
    )
    def get(self, request: Request, symbol: str) -> Response:
        """Show one instrument."""
        return Response(MarketInstrumentOut(_named(symbol)).data)

    @extend_schema(
        operation_id="market_instruments_change",
        summary="Change whether and when an instrument trades",
        request=InstrumentChangeIn,
        responses=answers({200: MarketInstrumentOut}, *WRITING, 404),
    )
    def patch(self, request: Request, symbol: str) -> Response:
        """Change `enabled`, `calendar` or `jump_band` without a restart; for who may change instruments."""
        if not request.user.has_perm("market.change_instrument"):
            raise PermissionDenied
        changes = self.asked(InstrumentChangeIn)
        row = Instrument.objects.filter(symbol=symbol).first()  # a change is made to the row, never to a copy of it
        if row is None:
            raise Http404
        changed = instrument_services.change(row.pk, changes, actor=actor_of(request))
        return Response(MarketInstrumentOut(changed).data)  # type: ignore[arg-type] # the row has the same fields


class MarketQuotes(InMemory):
    """List quotes."""

    queryset = Quote.objects.none()
    serializer_class = MarketQuoteOut
    filter_serializer = QuoteFilter

    def chosen(self, rows: Sequence[LatestQuote], given: dict[str, Any]) -> list[LatestQuote]:
        """Keep the symbols asked for."""
        wanted = given.get("symbols")
        return [row for row in rows if wanted is None or row.instrument in wanted]

    @extend_schema(
        operation_id="market_quotes_list",
        summary="List the latest prices, all or of some symbols",
        parameters=[QuoteFilter],
        responses=answers({200: MarketQuoteOut(many=True)}, *READING),
        examples=[_example("A quote", _QUOTE)],
    )
    def get(self, request: Request) -> Response:
        """List the latest price of every instrument, or of those named."""
        return self.listed(cache.quotes(), now=timezone.now())


class MarketQuote(Kept, Door):
    """Look at one quote."""

    queryset = Quote.objects.none()
    serializer_class = MarketQuoteOut

    @extend_schema(
        operation_id="market_quotes_show",
        summary="Show the latest price of an instrument",
        responses=answers({200: MarketQuoteOut}, *READING, 404),
        examples=[_example("A quote", _QUOTE)],
    )
    def get(self, request: Request, symbol: str) -> Response:
        """Show the latest price of one instrument; 404 before its first."""
        found = next((row for row in cache.quotes() if row.instrument == symbol), None)
        if found is None:
            raise Http404
        return Response(MarketQuoteOut(found, context={"now": timezone.now()}).data)


class Window(Kept, Listing):
    """Rows of the market store, page by page onwards from a place in time."""

    queryset = Quote.objects.none()
    pagination_class = None
    paging = ("limit",)
    most: ClassVar[int]

    def limit(self) -> int:
        """Return how many rows to give. Raises Refused."""
        return whole(self.request, "limit", DEFAULT_ROWS, 1, self.most)


class Candles(Window):
    """Give candles."""

    serializer_class = CandleOut
    filter_serializer = CandleFilter
    most = MAX_CANDLES

    @extend_schema(
        operation_id="market_candles",
        summary="Give candles up to this moment",
        parameters=[CandleFilter, _limited("How many candles.", MAX_CANDLES)],
        responses=answers({200: CandlePageOut}, *READING),
        examples=[_example("One minute", _CANDLES)],
    )
    def get(self, request: Request) -> Response:
        """Give the newest `limit` candles of [since, until), oldest first; `next` goes on into the past.

        Spans without a trade have no candle. The last one may still grow: then `closed` is false.
        """
        given, limit, now = self.given(), self.limit(), timezone.now()
        timeframe: Timeframe = given["timeframe"]
        since, until = given.get("since"), given.get("until")
        _refuse_span(since, until or now, MAX_BUCKETS * timeframe.width, f"{MAX_BUCKETS} candles of {timeframe}")
        instrument = _asked(given["instrument"])
        rows = cache.candles(instrument.id, timeframe, limit=limit + 1, since=since, until=until, now=now)
        page = rows[-limit:]
        going_on = {"until": _written(page[0].at)} if len(rows) > limit else None
        if going_on and since:
            going_on["since"] = _written(since)
        body = {"instrument": instrument.symbol, "timeframe": timeframe, "next": going_on, "results": page}
        return Response(CandlePageOut(body).data)


class Trades(Window):
    """Give trades."""

    serializer_class = TradeOut
    filter_serializer = TradeFilter
    most = MAX_TRADES

    @extend_schema(
        operation_id="market_trades",
        summary="Give trades in order",
        parameters=[TradeFilter, _limited("How many trades.", MAX_TRADES)],
        responses=answers({200: TradePageOut}, *READING),
        examples=[_example("One trade", _TRADES)],
    )
    def get(self, request: Request) -> Response:
        """Give the trades of [since, until), oldest first; `next` goes on from the last one."""
        given, limit, now = self.given(), self.limit(), timezone.now()
        until = given.get("until") or now
        after: Place | None = given.get("after")
        since = given.get("since") or (after.at if after else until - TRADE_HOUR)
        _refuse_span(since, until, MAX_TRADE_DAYS, f"{MAX_TRADE_DAYS.days} days of trades")
        instrument = _asked(given["instrument"])
        place = max(after, _before(since)) if after else _before(since)
        rows = ticks.after(selectors.market_store(), instrument.id, *place, until=until, limit=limit + 1)
        page = rows[:limit]
        going_on = {"after": f"{_written(page[-1].at)},{page[-1].trade_id}"} if len(rows) > limit else None
        body = {"instrument": instrument.symbol, "next": going_on, "results": page}
        return Response(TradePageOut(body).data)


def _written(at: datetime) -> str:
    """Write an instant so that it can stand in an address as it is: without a plus."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _before(at: datetime) -> Place:
    return Place(at, -(2**63))


def _named(symbol: str) -> ListedInstrument:
    found = next((row for row in cache.instruments() if row.symbol == symbol), None)
    if found is None:
        raise Http404
    return found


def _asked(symbol: str) -> ListedInstrument:
    try:
        return _named(symbol)
    except Http404:
        remedy = "choose one of /api/v1/market/instruments"
        raise Refused(Problem(field="instrument", value=symbol, rule="is not known", remedy=remedy)) from None


def _refuse_span(since: datetime | None, until: datetime, most: timedelta, words: str) -> None:
    if since is None:
        return
    if since >= until:
        remedy = f"give an instant before {_written(until)}"
        raise Refused(Problem(field="since", value=_written(since), rule="must be before until", remedy=remedy))
    if until - since > most:
        rule = f"lies further than {words} before until"
        remedy = f"give {_written(until - most)} or later, and go on with 'next'"
        raise Refused(Problem(field="since", value=_written(since), rule=rule, remedy=remedy))
