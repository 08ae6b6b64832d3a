"""What programs ask about risk: a limit to make or change, a state of trading to set, and filters of lists."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.domain.restrictions import Scope, TradingState
from apps.domain.risk.words import Action
from apps.web.api.fields import Id, Note, Strict, Word
from apps.web.api.market_asking import Instant, JsonBool, YesNo
from apps.web.problems import FieldRefused


class Target(Id):
    """The account, strategy or instrument; 0 for the site."""

    def to_internal_value(self, data: Any) -> int:
        """Return the number. Raises FieldRefused."""
        if data in (0, "0") and not isinstance(data, bool):
            return 0
        return super().to_internal_value(data)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.min_value = 0
        self.validators = []


_VALUE = {"oneOf": [{"type": "number"}, {"type": "string"}, {"type": "boolean"}]}


@extend_schema_field({"type": "object", "additionalProperties": _VALUE})
class Values(serializers.Field[dict[str, Any], Any, dict[str, Any], Any]):
    """Parameters by name; whether they fit is for the rule or the strategy to say."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Return the values, decimals as the numbers they are. Raises FieldRefused."""
        if not isinstance(data, dict) or not all(_plain(value) for value in data.values()):
            raise FieldRefused(data, "must be an object of numbers, words and switches", 'write {"rate": 0.05}')
        return {
            str(name): value if isinstance(value, str | bool | int) else float(value) for name, value in data.items()
        }

    def to_representation(self, value: dict[str, Any]) -> dict[str, Any]:
        """Write them as they are."""
        return value


def _plain(value: object) -> bool:
    return value is not None and not isinstance(value, dict | list) and len(str(value)) <= 100


class LimitIn(Strict):
    """A limit to add."""

    rule = serializers.RegexField(r"^[a-z0-9_]{1,64}\Z", help_text="See /api/v1/risk/rules.")
    scope = Word(Scope, required=False, help_text="site if left out.")
    target = Target(required=False, help_text="The account, strategy or instrument; 0 for the site.")
    profile = Id(required=False, allow_null=True, help_text="Binds accounts with this profile alone.")
    parameters = Values(required=False)
    action = Word(Action, required=False, help_text="What a breach that the monitor sees leads to; refuse if left out.")
    enabled = JsonBool(required=False)
    note = Note(required=False)


class LimitChangeIn(Strict):
    """What to change of a limit; parameters that are not named stay."""

    parameters = Values(required=False)
    action = Word(Action, required=False)
    enabled = JsonBool(required=False)
    note = Note(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a change that changes nothing. Raises FieldRefused."""
        if not attrs:
            raise FieldRefused("{}", "names nothing to change", f"name at least one of {', '.join(self.fields)}")
        return attrs


class LimitFilter(Strict):
    """Which limits to list."""

    rule = serializers.RegexField(r"^[a-z0-9_]{1,64}\Z", required=False)
    scope = Word(Scope, required=False)
    target = Target(required=False)
    profile = Id(required=False)
    enabled = YesNo(required=False)


class ViolationFilter(Strict):
    """Which violations to list."""

    account = Id(required=False)
    limit = Id(required=False)
    rule = serializers.RegexField(r"^[a-z0-9_]{1,64}\Z", required=False)
    standing = YesNo(required=False, help_text="true: those that have not ended.")


class MetricFilter(Strict):
    """Which measures to list, of [since, until)."""

    account = Id(required=False)
    since = Instant(required=False)
    until = Instant(required=False)


class StateIn(Strict):
    """The state trading shall be in, where and why."""

    state = Word(TradingState, help_text="halted and reducing open nothing; active allows trading again.")
    scope = Word(Scope, required=False, help_text="site if left out.")
    target = Target(required=False, help_text="The account, strategy or instrument; 0 for the site.")
    reason = Note(help_text="Why, for the record.")
    flatten = JsonBool(required=False, help_text="Also leave every position there, at the market.")
