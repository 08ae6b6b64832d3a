"""Each person sees the rows of their own accounts, by the one rule of the selectors; filters show no others either."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.access.desk.rows import Page, ReadOnlyPage
from apps.market.models import Instrument
from apps.trading import selectors

MOST = 200  # accounts offered in a filter


class Own(Page):
    """A page of rows that belong to accounts; `account_path` leads from a row to its account."""

    account_path: ClassVar[str] = "account"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Leave out what the person may not see."""
        rows: QuerySet[Any] = super().get_queryset(request)
        if selectors.sees_all(request.user):
            return rows
        return rows.filter(**{f"{self.account_path}__in": selectors.for_user(request.user)})


class OwnReadOnly(Own, ReadOnlyPage):
    """The same for rows that nobody edits."""


class AccountFilter(admin.SimpleListFilter):
    """Filters by account, offering those the person may see; read from the accounts, not from the long table."""

    title = "account"
    parameter_name = "account"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer accounts by name."""
        rows = selectors.for_user(request.user).order_by("name", "id").values_list("id", "name")[:MOST]
        return [(str(key), name) for key, name in rows]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows of the chosen account; anything that is no number chooses none."""
        return _chosen(queryset, self._path(), self.value())

    def _path(self) -> str:
        return "account_id"


class PositionsAccountFilter(AccountFilter):
    """The same for rows that belong to a position."""

    def _path(self) -> str:
        return "position__account_id"


class InstrumentFilter(AccountFilter):
    """Filters by instrument."""

    title = "instrument"
    parameter_name = "instrument"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer instruments by symbol."""
        return [(str(key), symbol) for key, symbol in Instrument.objects.values_list("id", "symbol")[:MOST]]

    def _path(self) -> str:
        return "instrument_id"


class CurrencyFilter(AccountFilter):
    """Filters by currency, offering those that instruments are quoted in."""

    title = "currency"
    parameter_name = "currency"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer currencies."""
        found = Instrument.objects.order_by("quote_currency").values_list("quote_currency", flat=True).distinct()[:MOST]
        return [(currency, currency) for currency in found]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows in the chosen currency."""
        chosen = self.value()
        return queryset.filter(currency=chosen) if chosen else queryset


class PositionsInstrumentFilter(InstrumentFilter):
    """The same for rows that belong to a position."""

    def _path(self) -> str:
        return "position__instrument_id"


def _chosen(queryset: QuerySet[Any], path: str, value: str | None) -> QuerySet[Any]:
    if value is None:
        return queryset
    return queryset.filter(**{path: int(value)}) if value.isascii() and value.isdigit() else queryset.none()
