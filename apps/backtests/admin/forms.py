"""The form that asks for a run, and what it becomes."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminTextInputWidget,
)

from apps.access.desk.fields import NumberField
from apps.backtests import spellings
from apps.backtests.requests import Request
from apps.backtests.sources import Spec
from apps.domain import numbers
from apps.domain.backtests.conventions import Conventions, Sides, Units
from apps.market.models import Instrument
from apps.strategies.models import Strategy

LENGTHS: Final = {60: "1 minute", 300: "5 minutes", 900: "15 minutes", 3600: "1 hour", 86400: "1 day"}
PLAIN: Final = ("cash", "sides", "units")
PERCENTS: Final = ("fee_rate", "slippage_value", "stop_loss", "take_profit")


class RunForm(forms.Form):
    """A backtest of a strategy as it is set up; the names are those of the conventions."""

    strategy = forms.ModelChoiceField(
        Strategy.objects.exclude(stage="retired"), widget=UnfoldAdminSelectWidget, help_text="With its own parameters."
    )
    instruments = forms.ModelMultipleChoiceField(
        Instrument.objects.all(),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="One, or those that a strategy over several instruments trades together.",
    )
    since = forms.DateField(required=False, widget=UnfoldAdminSingleDateWidget, help_text="First day, UTC.")
    until = forms.DateField(required=False, widget=UnfoldAdminSingleDateWidget, help_text="Last day; empty: today.")
    bar_seconds = forms.TypedChoiceField(label="Timeframe", coerce=int, widget=UnfoldAdminSelectWidget)
    cash = NumberField(positive=True, help_text="What the account begins with.")
    sides = forms.ChoiceField(choices=[(one.value, one.value) for one in Sides], widget=UnfoldAdminSelectWidget)
    units = forms.ChoiceField(choices=[(one.value, one.value) for one in Units], widget=UnfoldAdminSelectWidget)
    fee_rate = NumberField(label="Fee, %", help_text="Of the value of every fill.")
    slippage_value = NumberField(label="Slippage, %", help_text="How much worse than the price a fill is.")
    stop_loss = NumberField(label="Stop, %", positive=True, required=False, help_text="Loss to leave at; empty: none.")
    take_profit = NumberField(
        label="Target, %", positive=True, required=False, help_text="Profit to leave at; empty: none."
    )

    def __init__(self, data: Any, strategy: Strategy | None, today: date) -> None:
        super().__init__(data, initial=_initial(strategy, today))
        seconds = strategy.bar_seconds if strategy else 60
        lengths = LENGTHS if seconds in LENGTHS else {seconds: f"{seconds} seconds, as the strategy has it", **LENGTHS}
        choices = [(str(length), words) for length, words in lengths.items()]
        self.fields["bar_seconds"].choices = choices  # type: ignore[attr-defined]  # a choice field
        # Another strategy has other bars and instruments: the form is asked for anew with it.
        again = {"hx-get": "", "hx-trigger": "change", "hx-swap": "outerHTML"}
        self.fields["strategy"].widget.attrs |= {**again, "hx-select": "form.sheet", "hx-target": "form.sheet"}
        self.fields["cash"].widget = UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"})

    def clean(self) -> dict[str, Any]:
        """The days must be in order."""
        given = super().clean() or {}
        since, until = given.get("since"), given.get("until")
        if since and until and until < since:
            self.add_error("until", f"must not lie before {since}.")
        return given


def request_of(given: Mapping[str, Any], now: datetime) -> Request:
    """Return what a valid form asks for. Raises Refused for conventions that do not fit together."""
    strategy: Strategy = given["strategy"]
    last = _midnight(given["until"], days=1)
    return Request(
        plugin=strategy.plugin,
        parameters=strategy.parameters,
        conventions=conventions_of(given),
        data=Spec(
            instruments=tuple(row.symbol for row in given["instruments"]),
            bar_seconds=given["bar_seconds"],
            since=_midnight(given["since"]),
            until=now if last is None else min(last, now),  # the bar that is still growing is none
        ),
    )


def conventions_of(given: Mapping[str, Any]) -> Conventions:
    """Return the conventions a form holds, defaults for what it does not ask. Raises Refused."""
    texts = {name: _text(given[name]) for name in PLAIN}
    texts |= {name: f"{_text(given[name])}%" for name in PERCENTS if given[name] is not None}
    return spellings.conventions(texts, strategy=given["strategy"].plugin)


def _initial(strategy: Strategy | None, today: date) -> dict[str, Any]:
    usual = Conventions()
    return {
        "strategy": strategy,
        "instruments": strategy.instruments.all()[:1] if strategy else [],
        "since": today - timedelta(days=30),
        "bar_seconds": strategy.bar_seconds if strategy else 60,
        "cash": Decimal(str(usual.cash)),
        "sides": usual.sides.value,
        "units": Units.FRACTIONAL.value,
        "fee_rate": Decimal("0.1"),
        "slippage_value": Decimal(str(usual.slippage_value)) * 100,
    }


def _text(value: Any) -> str:
    return numbers.plain(value) if isinstance(value, Decimal) else str(value)


def _midnight(day: date | None, days: int = 0) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC) + timedelta(days=days)
