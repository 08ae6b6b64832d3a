"""What a person chooses on the page of statistics: whose trading, which part of it, which days; and a tax year."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from apps.domain.accounting import Method
from apps.domain.taxes import LONG_AFTER, Calendar
from apps.market.models import Instrument
from apps.strategies.models import Strategy
from apps.trading import selectors
from apps.trading.selectors import Caller
from apps.trading.statistics.exporting import FIRST_YEAR, LAST_YEAR, Export
from apps.trading.statistics.selection import Period, Selection

MOST: Final = 500  # accounts, instruments or strategies offered in a list
DAY: Final = timedelta(days=1)
_DATE: Final = UnfoldAdminTextInputWidget(attrs={"type": "date", "autocomplete": "off"})


def _select() -> UnfoldAdminSelectWidget:
    return UnfoldAdminSelectWidget()


class Chosen(forms.Form):
    """Filters; everything may be left out."""

    account = forms.TypedChoiceField(required=False, coerce=int, empty_value=None, widget=_select())
    instrument = forms.TypedChoiceField(required=False, coerce=int, empty_value=None, widget=_select())
    strategy = forms.TypedChoiceField(required=False, coerce=int, empty_value=None, widget=_select())
    since = forms.DateField(required=False, label="From", widget=_DATE, help_text="UTC")
    until = forms.DateField(required=False, label="To", widget=_DATE, help_text="UTC, that day included")
    by = forms.ChoiceField(required=False, choices=[(str(one), str(one)) for one in Period], widget=_select())

    def __init__(self, user: Caller, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        accounts = list(selectors.for_user(user).order_by("name", "id").values_list("id", "name"))
        self.accounts = [key for key, _ in accounts]
        offered = {
            "account": ("all of mine", accounts[:MOST]),
            "instrument": ("all", Instrument.objects.order_by("symbol").values_list("id", "symbol")[:MOST]),
            "strategy": ("all, and by hand", Strategy.objects.order_by("name").values_list("id", "name")[:MOST]),
        }
        for name, (nothing, rows) in offered.items():
            self.fields[name].choices = [("", nothing), *rows]  # type: ignore[attr-defined]  # a choice field

    def clean(self) -> dict[str, Any]:
        """Refuse days that end before they begin. Raises ValidationError."""
        found = dict(super().clean() or self.cleaned_data)
        since, until = found.get("since"), found.get("until")
        if since and until and until < since:
            raise ValidationError({"until": "This day is before the first one."})
        return found

    def period(self) -> Period:
        """Return how long a row of time is."""
        return Period(self._given("by") or Period.MONTH)

    def selection(self) -> Selection:
        """Return what was chosen; a field that cannot be read chooses nothing in particular."""
        account, until = self._given("account"), self._given("until")
        return Selection(
            accounts=self.accounts if account is None else [account],
            instrument=self._given("instrument"),
            strategy=self._given("strategy"),
            since=_midnight(self._given("since")),
            until=_midnight(until + DAY if until and until < date.max else until),
        )

    def _given(self, name: str) -> Any:
        return self.cleaned_data.get(name) if self.is_valid() else None


class TaxYear(forms.Form):
    """Which disposals to write, and by which rules."""

    account = forms.TypedChoiceField(coerce=int, widget=_select())
    year = forms.IntegerField(min_value=FIRST_YEAR, max_value=LAST_YEAR, widget=UnfoldAdminIntegerFieldWidget)
    method = forms.ChoiceField(choices=[(str(one), str(one)) for one in Method], widget=_select())
    zone = forms.CharField(
        label="Time zone",
        initial="UTC",
        max_length=64,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="Whose days and year count, like Europe/Berlin.",
    )
    long_after = forms.IntegerField(
        label="Long-term after",
        initial=LONG_AFTER,
        min_value=0,
        max_value=36_500,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Held for more days than these.",
    )

    def __init__(self, user: Caller, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        accounts = selectors.for_user(user).order_by("name", "id").values_list("id", "name")[:MOST]
        self.fields["account"].choices = list(accounts)  # type: ignore[attr-defined]  # a choice field

    def clean_zone(self) -> str:
        """Return the name of a time zone. Raises ValidationError."""
        name = str(self.cleaned_data["zone"])
        if name not in available_timezones():
            raise ValidationError("There is no time zone of that name; write it like Europe/Berlin.")
        return name

    def export(self) -> Export:
        """Return what to write; the form is valid."""
        given = self.cleaned_data
        calendar = Calendar(zone=ZoneInfo(given["zone"]), long_after=given["long_after"])
        return Export(account=given["account"], year=given["year"], method=Method(given["method"]), calendar=calendar)


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC)
