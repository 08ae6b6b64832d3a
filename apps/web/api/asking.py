"""What programs send: a position to open, levels to amend, a position to close, and filters of lists."""

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from apps.domain.legs import ExitReason, LegKind
from apps.domain.sides import Side
from apps.domain.states import ExitStatus, PositionStatus
from apps.web.api.fields import Due, Id, Note, Number, Strict, Symbol, TrailField, Word
from apps.web.problems import FieldRefused

MAX_LEGS = 20
FRACTION_DECIMALS = 8

_NEEDS = {
    LegKind.STOP_LOSS: ({"level"}, set()),
    LegKind.TAKE_PROFIT: ({"level"}, set()),
    LegKind.TRAILING_STOP: ({"trail"}, {"activation"}),
    LegKind.BREAK_EVEN: ({"activation"}, {"offset"}),
    LegKind.TIME_STOP: ({"due_at"}, set()),
}


class BreakEvenIn(Strict):
    """A stop that wakes once the price was at `activation`, and then rests `offset` on the good side of the entry."""

    activation = Number(help_text="The price that wakes it.")
    offset = Number(
        required=False, above_zero=False, help_text="Price units on the good side of the entry; 0 if left out."
    )


class LegIn(Strict):
    """One of several ways out, each for a fraction of the position."""

    kind = Word(LegKind)
    fraction = Number(required=False, help_text="Of what was opened: above 0, at most 1; 1 if left out.")
    level = Number(required=False, help_text="stop_loss, take_profit: the price.")
    trail = TrailField(required=False, help_text='trailing_stop: "150" in price or "1.5%".')
    activation = Number(required=False, help_text="break_even, trailing_stop: the price that wakes it.")
    offset = Number(required=False, above_zero=False, help_text="break_even: price units beyond the entry.")
    due_at = Due(required=False, help_text="time_stop: an instant with its offset, or whole seconds from now.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a leg that lacks what its kind needs or has what it does not. Raises ValidationError."""
        kind = attrs["kind"]
        needed, taken = _NEEDS[kind]
        given = set(attrs) - {"kind", "fraction"}
        errors = {name: FieldRefused(None, f"is missing for a {kind}", "add it").detail for name in needed - given}
        for name in given - needed - taken:
            value = self.fields[name].to_representation(attrs[name])
            errors[name] = FieldRefused(value, f"has no meaning for a {kind}", "leave it out").detail
        fraction = attrs.get("fraction", Decimal(1))
        if fraction != round(fraction, FRACTION_DECIMALS):
            rule = f"must have at most {FRACTION_DECIMALS} digits after the point"
            errors["fraction"] = FieldRefused(fraction, rule, "use '0.5' for half").detail
        if errors:
            raise serializers.ValidationError(errors)
        return attrs


class LegsIn(serializers.ListField):
    """Several ways out."""

    child = LegIn()

    def to_internal_value(self, data: Any) -> list[Any]:
        """Return the legs. Raises FieldRefused, or ValidationError naming each leg by its index."""
        if not isinstance(data, list):
            raise FieldRefused(data, "must be a list", 'write [{"kind": "take_profit", ...}]')
        if len(data) > MAX_LEGS:
            raise FieldRefused(len(data), f"must be at most {MAX_LEGS} legs", "use fewer legs")
        legs: list[Any] = super().to_internal_value(data)
        return legs


_OPENING = {
    "instrument": "BTC-USD",
    "side": "long",
    "quantity": "0.25",
    "stop_loss": "60000.00",
    "take_profit": "65000.00",
    "time_stop": 3600,
}
_SCALING_OUT = {
    "instrument": "BTC-USD",
    "side": "long",
    "quantity": "0.5",
    "trailing_stop": "1.5%",
    "break_even": {"activation": "62500.00", "offset": "25.00"},
    "legs": [
        {"kind": "take_profit", "level": "63000.00", "fraction": "0.5"},
        {"kind": "take_profit", "level": "66000.00", "fraction": "0.5"},
    ],
}


@extend_schema_serializer(
    examples=[
        OpenApiExample("Stop, target and an hour at most", value=_OPENING, request_only=True),
        OpenApiExample("Trailing, and out in two halves", value=_SCALING_OUT, request_only=True),
    ]
)
class PositionIn(Strict):
    """A position to open. Decimals are strings; a level left out does not exist."""

    instrument = Symbol(help_text="The symbol, as in /api/v1/instruments.")
    side = Word(Side)
    quantity = Number(help_text="Base units, a multiple of the instrument's lot size.")
    stop_loss = Number(
        required=False, allow_null=True, help_text="Price: below the market for a long, above for a short."
    )
    take_profit = Number(
        required=False, allow_null=True, help_text="Price: above the market for a long, below for a short."
    )
    trailing_stop = TrailField(required=False, allow_null=True, help_text='Behind the best price: "150" or "1.5%".')
    break_even = BreakEvenIn(required=False, allow_null=True)
    time_stop = Due(required=False, allow_null=True, help_text="When to leave at the market, at the latest.")
    legs = LegsIn(required=False, allow_null=True, help_text="Further ways out, each for a fraction.")
    account = Id(required=False, allow_null=True, help_text="The id of your account; your first one if left out.")


class LevelsIn(Strict):
    """Levels to amend: each key given replaces the legs of that kind, null removes them, the others stay."""

    stop_loss = Number(required=False, allow_null=True)
    take_profit = Number(required=False, allow_null=True)
    trailing_stop = TrailField(required=False, allow_null=True)
    break_even = BreakEvenIn(required=False, allow_null=True)
    time_stop = Due(required=False, allow_null=True)
    legs = LegsIn(required=False, help_text="Replaces the legs of the kinds in this list.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a body that says nothing, or two things of one kind. Raises FieldRefused."""
        if not attrs:
            raise FieldRefused("{}", "names no level", f"name at least one of {', '.join(self.fields)}")
        twice = [leg["kind"] for leg in attrs.get("legs", ()) if leg["kind"] in attrs]
        if twice:
            rule = f"holds a {twice[0]}, which is also given by itself"
            raise serializers.ValidationError({"legs": FieldRefused(twice[0], rule, "give it once").detail})
        return attrs


class CloseIn(Strict):
    """A position to close, all of it, at the market."""

    note = Note(required=False, help_text="Why, for the record.")


class PositionFilter(Strict):
    """Which positions to list."""

    status = Word(PositionStatus, required=False)
    instrument = Symbol(required=False)
    side = Word(Side, required=False)
    account = Id(required=False)


class ExitFilter(Strict):
    """Which exits to list."""

    status = Word(ExitStatus, required=False)
    reason = Word(ExitReason, required=False)
    instrument = Symbol(required=False)
    account = Id(required=False)
    position = Id(required=False)


class InstrumentFilter(Strict):
    """Which instruments or quotes to list."""

    instrument = Symbol(required=False)


class EventFilter(Strict):
    """Which events to list."""

    kind = serializers.RegexField(r"^[a-z_.]{1,64}\Z", required=False, help_text="Like position.closed.")
    subject = serializers.RegexField(
        r"^[a-z_]{1,40}:[A-Za-z0-9._-]{1,20}\Z", required=False, help_text="Like position:12."
    )
    account = Id(required=False)


class NoFilter(Strict):
    """A list that is given as a whole."""
