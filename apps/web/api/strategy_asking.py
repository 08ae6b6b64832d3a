"""What programs ask about strategies and backtests."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.backtests.models import Run
from apps.domain.backtests.gate import Stage
from apps.domain.errors import Problem, Refused
from apps.web.api.fields import MAX_ID, Id, Note, Strict, Symbol, Word
from apps.web.api.market_asking import Instant, YesNo
from apps.web.api.risk_asking import Values
from apps.web.problems import FieldRefused

MOST_INSTRUMENTS = 20
FEWEST, MOST = 2, 4  # runs side by side
LONGEST_BAR = 86_400 * 7


class StrategyFilter(Strict):
    """Which strategies to list."""

    stage = Word(Stage, required=False)
    enabled = YesNo(required=False)
    plugin = serializers.RegexField(r"^[a-z0-9_]{1,64}\Z", required=False)


class StrategyChangeIn(Strict):
    """Settings to change; parameters that are not named stay."""

    parameters = Values(required=False)
    bar_seconds = serializers.IntegerField(required=False, min_value=1, max_value=LONGEST_BAR)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a change that changes nothing. Raises FieldRefused."""
        if not attrs:
            raise FieldRefused("{}", "names nothing to change", f"name at least one of {', '.join(self.fields)}")
        return attrs


class ReasonIn(Strict):
    """Why, for the record."""

    reason = Note(required=False)


class SignalFilter(Strict):
    """Which signals to list, of [since, until)."""

    strategy = Id(required=False)
    instrument = Symbol(required=False)
    stance = serializers.ChoiceField(["-1", "0", "1"], required=False)
    since = Instant(required=False)
    until = Instant(required=False)


class RunFilter(Strict):
    """Which backtests to list."""

    state = serializers.ChoiceField(Run.State.choices, required=False)
    kind = serializers.ChoiceField(Run.Kind.choices, required=False)
    strategy = Id(required=False)
    plugin = serializers.RegexField(r"^[a-z0-9_]{1,64}\Z", required=False)


_RUN = {
    "strategy": 1,
    "instruments": ["BTC-USD"],
    "bar_seconds": 3600,
    "since": "2026-01-01T00:00:00Z",
    "until": "2026-07-01T00:00:00Z",
    "conventions": {"fee_rate": "0.1%", "stop_loss": "2%"},
}


@extend_schema_serializer(examples=[OpenApiExample("Half a year of hours", value=_RUN, request_only=True)])
class RunIn(Strict):
    """A backtest to compute: a strategy as it is set up, or a plug-in, on candles of the market store."""

    strategy = Id(required=False, help_text="With its own parameters and length of bars.")
    plugin = serializers.RegexField(r"^[a-z0-9_]{1,64}\Z", required=False, help_text="Instead of a strategy.")
    parameters = Values(required=False, help_text="Over those of the strategy, or the plug-in's defaults.")
    instruments = serializers.ListField(child=Symbol(), min_length=1, max_length=MOST_INSTRUMENTS)
    bar_seconds = serializers.IntegerField(required=False, min_value=1, max_value=LONGEST_BAR)
    since = Instant(required=False)
    until = Instant(required=False, help_text="Now if left out: the bar that is still growing is none.")
    conventions = Values(required=False, help_text="As the command line spells them; see docs/backtests.md.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse both a strategy and a plug-in, none of them, and days in no order. Raises ValidationError."""
        errors: dict[str, Any] = {}
        if ("strategy" in attrs) == ("plugin" in attrs):
            errors["strategy"] = FieldRefused(None, "stands instead of plugin: one of the two", "name one").detail
        if "strategy" not in attrs and "bar_seconds" not in attrs:
            errors["bar_seconds"] = FieldRefused(None, "is missing", "name the length of a bar in seconds").detail
        since, until = attrs.get("since"), attrs.get("until")
        if since and until and until <= since:
            errors["until"] = FieldRefused(until.isoformat(), "must be after since", "exchange the two").detail
        if errors:
            raise serializers.ValidationError(errors)
        return attrs


@extend_schema_field({"type": "string", "example": "12,15"})
class RunIds(serializers.Field[list[int], Any, str, Any]):
    """Numbers of backtests with commas between them."""

    def to_internal_value(self, data: Any) -> list[int]:
        """Return the numbers, each once. Raises FieldRefused."""
        words = dict.fromkeys(str(data).split(","))
        if not all(word.isascii() and word.isdigit() and len(word) < 19 and int(word) <= MAX_ID for word in words):
            raise FieldRefused(data, "must be numbers of backtests with commas between them", "write 12,15")
        if not FEWEST <= len(words) <= MOST:
            raise FieldRefused(data, f"must be {FEWEST} to {MOST} backtests", "write 12,15")
        return [int(word) for word in words]


class ComparisonFilter(Strict):
    """Which backtests to put side by side."""

    runs = RunIds()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a comparison of nothing. Raises Refused."""
        if not attrs:
            raise Refused(Problem(field="runs", value="nothing", rule="is missing", remedy="write runs=12,15"))
        return attrs
