"""Fills and the ledger: facts, never changed."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.access.desk import cells
from apps.trading.admin.rows import AccountFilter, CurrencyFilter, InstrumentFilter, OwnReadOnly
from apps.trading.models import Fill, LedgerEntry


@cells.computed("side", "buy")
def bought(row: Fill) -> str:
    """Say whether it was bought or sold."""
    return cells.tag("buy", "good") if row.buy else cells.tag("sell", "bad")


@admin.register(Fill)
class FillAdmin(OwnReadOnly):
    """Every execution, newest first."""

    list_display = (
        "id",
        cells.text("account"),
        cells.linked("position"),
        cells.text("instrument"),
        bought,
        cells.number("quantity"),
        cells.number("price"),
        cells.number("fee"),
        cells.instant("at"),
    )
    shown = (*list_display, "client_id", cells.linked("exit"))
    list_filter = ("buy", AccountFilter, InstrumentFilter)
    search_fields = ("=id", "=position__id", "=client_id")
    list_select_related = ("account", "instrument", "position__instrument", "exit")


class KindFilter(admin.SimpleListFilter):
    """Filters lines by what they are for; the words are known, so that the long table need not be asked for them."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer every kind there is."""
        return [(kind, kind) for kind in ("deposit", "open", "close", "fee", "dust", "adjust")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the lines of the chosen kind."""
        chosen = self.value()
        return queryset.filter(kind=chosen) if chosen else queryset


@admin.register(LedgerEntry)
class LedgerAdmin(OwnReadOnly):
    """Every line of the books, newest first. The five columns of a line sum to zero: what is owed to the owner, profit
    and deposits, stands with a minus."""

    list_display = (
        "id",
        cells.text("account"),
        "kind",
        cells.number("cash"),
        cells.number("holdings"),
        cells.number("fees"),
        cells.number("pnl", "P&L owed"),
        cells.number("capital", "capital owed"),
        "currency",
        cells.instant("at"),
    )
    shown = (*list_display, cells.linked("fill"))
    list_filter = (KindFilter, CurrencyFilter, AccountFilter)
    search_fields = ("=id", "=fill__position__id")
    list_select_related = ("account", "fill")
