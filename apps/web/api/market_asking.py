"""What programs ask of market data: filters of its lists, and changes of an instrument."""

import re
from datetime import datetime
from typing import Any, NamedTuple

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.market.store import Timeframe
from apps.web.api.fields import MAX_ID, Due, Number, Strict, Symbol, Word
from apps.web.pagination import MAX_LIMIT
from apps.web.problems import FieldRefused

MAX_SYMBOLS = MAX_LIMIT
MAX_CANDLES = 1000
MAX_TRADES = 1000
MAX_BAND = 10


@extend_schema_field({"type": "string", "format": "date-time", "example": "2026-11-21T09:00:00Z"})
class Instant(Due):
    """An instant with its offset from UTC."""

    def to_internal_value(self, data: Any) -> datetime:
        """Return the instant in UTC. Raises FieldRefused."""
        try:
            found = super().to_internal_value(data)
        except FieldRefused as error:
            rule = str(error.problem["rule"]).replace(", or whole seconds from now", "")
            raise FieldRefused(data, rule, "write it like 2026-11-21T09:00:00Z") from None
        if not isinstance(found, datetime):
            raise FieldRefused(data, "must be an instant in ISO 8601", "write it like 2026-11-21T09:00:00Z")
        return found


@extend_schema_field({"type": "string", "enum": ["true", "false"]})
class YesNo(serializers.Field[bool, Any, bool, Any]):
    """Yes or no in an address, exactly as JSON writes it."""

    def to_internal_value(self, data: Any) -> bool:
        """Return the answer. Raises FieldRefused."""
        if data not in ("true", "false"):
            raise FieldRefused(data, "must be true or false", "write true")
        return bool(data == "true")


class JsonBool(serializers.BooleanField):
    """Yes or no in a body: true or false and nothing that only looks like it."""

    def to_internal_value(self, data: Any) -> bool:
        """Return the answer. Raises FieldRefused."""
        if not isinstance(data, bool):
            raise FieldRefused(data, "must be true or false", "write true")
        return data


class Pattern(serializers.CharField):
    """A short word of letters that only capitals, digits and a few signs may be in."""

    def __init__(self, pattern: str, rule: str, **kwargs: Any) -> None:
        self._pattern = re.compile(pattern, re.ASCII)
        self._rule = rule
        super().__init__(**kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Return the word as it came, spaces and all. Raises FieldRefused."""
        missing, value = self.validate_empty_values(data)
        return value if missing else self.to_internal_value(value)

    def to_internal_value(self, data: Any) -> str:
        """Return the word. Raises FieldRefused."""
        if not isinstance(data, str) or not self._pattern.fullmatch(data):
            raise FieldRefused(data, self._rule, "see /api/v1/market/instruments")
        return data


@extend_schema_field({"type": "string", "example": "BTC-USD,ETH-USD"})
class Symbols(serializers.Field[tuple[str, ...], Any, str, Any]):
    """Symbols with commas between them."""

    def to_internal_value(self, data: Any) -> tuple[str, ...]:
        """Return the symbols, each once. Raises FieldRefused."""
        names = str(data).split(",")
        if len(names) > MAX_SYMBOLS:
            raise FieldRefused(data, f"names {len(names)} symbols, more than {MAX_SYMBOLS}", "ask in several requests")
        one = Symbol()
        return tuple(dict.fromkeys(one.to_internal_value(name) for name in names))


class Place(NamedTuple):
    """Where a page of trades ended."""

    at: datetime
    trade_id: int


@extend_schema_field({"type": "string", "example": "2026-11-21T09:00:00.123456Z,3688002"})
class PlaceField(serializers.Field[Place, Any, str, Any]):
    """The place of a trade, as `next` of the page before gave it."""

    def to_internal_value(self, data: Any) -> Place:
        """Return the place. Raises FieldRefused."""
        at, comma, number = str(data).partition(",")
        remedy = "put in what 'next' of the page before holds"
        if not comma or not re.fullmatch(r"-?[0-9]{1,19}", number, re.ASCII) or abs(int(number)) > MAX_ID:
            raise FieldRefused(data, "must be an instant, a comma and the number of a trade", remedy)
        try:
            return Place(Instant().to_internal_value(at), int(number))
        except FieldRefused as error:
            raise FieldRefused(data, str(error.problem["rule"]), remedy) from None


class MarketInstrumentFilter(Strict):
    """Which instruments to list."""

    prefix = Pattern(
        r"[A-Z0-9][A-Z0-9._/-]{0,31}",
        "must be the beginning of a symbol: capitals, digits and - . _ / only",
        required=False,
        help_text="Symbols that begin so.",
    )
    currency = Pattern(
        r"[A-Z0-9]{1,12}", "must be a currency: capitals and digits", required=False, help_text="Quoted in it."
    )
    enabled = YesNo(required=False)
    calendar = Pattern(
        r"[A-Za-z0-9/_]{1,32}", "must be the name of a calendar", required=False, help_text="24/7 or XNYS, for example."
    )


class QuoteFilter(Strict):
    """Which quotes to list."""

    symbols = Symbols(required=False, help_text=f"At most {MAX_SYMBOLS}; all if left out.")


class CandleFilter(Strict):
    """Which candles to give: the newest `limit` of those that start in [since, until), oldest first."""

    instrument = Symbol(help_text="The symbol.")
    timeframe = Word(Timeframe, help_text="How long one candle lasts.")
    since = Instant(required=False)
    until = Instant(required=False, help_text="Excluded; now if left out.")


class TradeFilter(Strict):
    """Which trades to give: those of [since, until) behind the place `after`, oldest first."""

    instrument = Symbol(help_text="The symbol.")
    since = Instant(required=False, help_text="The hour before `until` if left out.")
    until = Instant(required=False, help_text="Excluded; now if left out.")
    after = PlaceField(required=False, help_text="What `next` of the page before holds.")


@extend_schema_serializer(
    examples=[
        OpenApiExample("Stop trading it", value={"enabled": False}, request_only=True),
        OpenApiExample("Hours of New York, a narrower band", value={"calendar": "XNYS", "jump_band": "0.05"}),
    ]
)
class InstrumentChangeIn(Strict):
    """What to change of an instrument; what is left out stays."""

    enabled = JsonBool(required=False, help_text="Off: no prices, no new positions; exits go on.")
    calendar = Pattern(
        r"[A-Za-z0-9/_]{1,32}", "must be the name of a calendar", required=False, help_text="24/7, or XNYS for example."
    )
    jump_band = Number(
        required=False, help_text=f"A print further than this rate from the last needs confirmation; below {MAX_BAND}."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a change that changes nothing."""
        if not attrs:
            raise FieldRefused("{}", "must name something to change", f"give one of {', '.join(self.fields)}")
        return attrs
