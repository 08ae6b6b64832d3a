"""The forms that open, amend and leave a position, and how what they hold becomes legs."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget

from apps.access.desk.fields import DueField, LineField, NumberField, TrailField
from apps.domain import numbers
from apps.domain.legs import Leg, LegKind
from apps.domain.sides import Side
from apps.market.models import Instrument
from apps.trading.models import Account, ExitLeg

SEVERAL = "Several legs of this kind; they stay unless you enter one that replaces them all."
MANY = object()  # stands for legs a single field cannot show


class LevelsForm(forms.Form):
    """The ways out of a position, one field each; an empty field means none."""

    stop_loss = NumberField(required=False, positive=True, help_text="Leave when the price is at or beyond this.")
    take_profit = NumberField(required=False, positive=True, help_text="Leave with a profit at or beyond this price.")
    trailing_stop = TrailField(required=False, help_text="Follow the best price at this distance: 150 or 1.5%.")
    time_stop = DueField(required=False, help_text="Leave at 2026-12-31T16:00:00Z, or after 90s, 15m, 4h, 2d.")


class OpenForm(LevelsForm):
    """A position to open at the present price."""

    account = forms.ModelChoiceField(Account.objects.none(), widget=UnfoldAdminSelectWidget)
    instrument = forms.ModelChoiceField(Instrument.objects.filter(enabled=True), widget=UnfoldAdminSelectWidget)
    side = forms.ChoiceField(
        choices=[(str(Side.LONG), "long: gains when the price rises"), (str(Side.SHORT), "short: gains when it falls")],
        widget=UnfoldAdminSelectWidget,
    )
    quantity = NumberField(positive=True, help_text="In the instrument's base currency.")
    request_key = forms.CharField(max_length=64, widget=forms.HiddenInput)
    field_order = ("account", "instrument", "side", "quantity")


class AmendForm(LevelsForm):
    """The same fields, filled with the legs a position has; only fields that were changed are acted upon."""

    break_even = NumberField(
        required=False, positive=True, help_text="Once the price was this good, leave if it comes back to the entry."
    )
    field_order = ("stop_loss", "take_profit", "trailing_stop", "break_even", "time_stop")

    def __init__(self, given: Any, live: Sequence[ExitLeg]) -> None:
        shown = {str(kind): _shown(kind, [leg for leg in live if leg.kind == kind]) for kind in LegKind}
        super().__init__(given, initial={name: value for name, value in shown.items() if value is not MANY})
        for name, value in shown.items():
            if value is MANY:
                self.fields[name].help_text = SEVERAL


class CloseForm(forms.Form):
    """Why positions are left at the market."""

    note = LineField(max_length=300, label="Reason", help_text="One line for the journal; it stays with the exit.")


def legs_of(given: Mapping[str, Any], names: Sequence[str], entry: Decimal, now: datetime) -> dict[LegKind, list[Leg]]:
    """Return the legs that fields describe per kind; a kind whose field is empty has none."""
    return {kind: _legs(kind, given[kind], entry, now) for kind in LegKind if kind in names}


def _legs(kind: LegKind, value: Any, entry: Decimal, now: datetime) -> list[Leg]:
    if value is None:
        return []
    match kind:
        case LegKind.TRAILING_STOP:
            return [Leg(kind=kind, trail=value[0], trail_is_rate=value[1])]
        case LegKind.TIME_STOP:
            return [Leg(kind=kind, due_at=now + value if isinstance(value, timedelta) else value)]
        case LegKind.BREAK_EVEN:
            return [Leg(kind=kind, activation=value, level=entry)]
        case _:
            return [Leg(kind=kind, level=value)]


def _shown(kind: LegKind, legs: Sequence[ExitLeg]) -> Any:
    """Return what a field shows of the live legs of its kind."""
    if not legs:
        return None
    leg = legs[0]
    if len(legs) > 1 or leg.fraction != 1 or (kind is LegKind.TRAILING_STOP and leg.activation is not None):
        return MANY
    match kind:
        case LegKind.TRAILING_STOP:
            return trail_of(leg)
        case LegKind.TIME_STOP:
            return leg.due_at.isoformat().replace("+00:00", "Z") if leg.due_at else None
        case LegKind.BREAK_EVEN:
            return leg.activation
        case _:
            return leg.level


def trail_of(leg: ExitLeg) -> str:
    """Return the distance of a trailing leg as it is written in a form."""
    if leg.trail is None:
        return ""
    return f"{numbers.plain(leg.trail * 100)}%" if leg.trail_is_rate else numbers.plain(leg.trail)
