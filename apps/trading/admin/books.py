"""Fills and the ledger: facts, never changed."""

from django.contrib import admin

from apps.access.desk import cells
from apps.trading.admin.rows import AccountFilter, InstrumentFilter, OwnReadOnly
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
    list_filter = ("kind", "currency", AccountFilter)
    search_fields = ("=id", "=fill__position__id")
    list_select_related = ("account", "fill")
