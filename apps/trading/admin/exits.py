"""Exits, each with its latency."""

from django.contrib import admin
from django.db.models import Q
from django.urls import reverse
from django.utils.html import format_html

from apps.access.desk import cells
from apps.trading import selectors
from apps.trading.admin.rows import OwnReadOnly, PositionsAccountFilter, PositionsInstrumentFilter
from apps.trading.models import Decision, Exit


@cells.computed("tick to close")
def latency(row: Exit) -> str:
    """Show the time from the arrival of the price to the commit of the close."""
    value = selectors.tick_to_close_ms(row)
    return cells.NOTHING if value is None else milliseconds(value)


def milliseconds(value: float) -> str:
    """Show a latency: milliseconds, or seconds where milliseconds say little."""
    shown = f"{value:.1f} ms" if value < 1000 else f"{value / 1000:.1f} s"
    return format_html('<span class="num" title="{} ms">{}</span>', value, shown)


@cells.computed("status", "status")
def status(row: Exit) -> str:
    """Show the status, and that a price was filled late."""
    shown = cells.tag(row.status, cells.TONES.get(row.status, "plain"))
    return format_html("{} {}", shown, cells.tag("late", "warn")) if row.late else shown


@cells.computed("why it was entered")
def decision(row: Exit) -> str:
    """Link to the decision that led to its position."""
    of = Q(position=row.position_id) | Q(orders__position=row.position_id)
    found = Decision.objects.filter(of).order_by("id").first()
    return cells.link(found, f"decision {found.pk}") if found else cells.NOTHING


@cells.computed("orders")
def orders(row: Exit) -> str:
    """Link to the orders that carried it out; where an account fills by itself there are none."""
    address = f"{reverse('admin:trading_order_changelist')}?exit__id__exact={row.pk}"
    return format_html('<a class="ref" href="{}">at the broker</a>', address)


@admin.register(Exit)
class ExitAdmin(OwnReadOnly):
    """Every way out that was taken or asked for, newest first."""

    account_path = "position__account"
    list_display = (
        "id",
        cells.linked("position"),
        cells.word("reason", tones={}),
        status,
        cells.number("trigger_price", "trigger"),
        cells.number("fill_price", "fill"),
        cells.number("quantity"),
        cells.profit("pnl", "P&L"),
        latency,
        cells.instant("tick_at", "tick"),
    )
    shown = (
        *list_display,
        decision,
        orders,
        cells.number("fee"),
        cells.number("peak"),
        "source",
        "actor",
        "note",
        "trade_id",
        cells.exact("venue_at"),
        cells.exact("seen_at"),
        cells.exact("recorded_at"),
        cells.exact("drain.claimed_at", "claimed at"),
        cells.exact("closed_at"),
        cells.exact("drain.committed_at", "committed at"),
        cells.text("drain.worker", "worker"),
        "epoch",
    )
    list_filter = ("status", "reason", "late", PositionsAccountFilter, PositionsInstrumentFilter)
    search_fields = ("=id", "=position__id", "=actor", "=source")
    search_help_text = "Number of the exit or of the position, who asked, or from where"
    list_select_related = ("position__instrument", "drain")
