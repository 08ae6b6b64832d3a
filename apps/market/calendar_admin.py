"""The admin's page on trading sessions: when each exchange is open, as the last refresh of its calendar had it."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join

from apps.access.desk import cells, pages
from apps.access.desk.rows import ReadOnlyPage
from apps.market.models import TradingSession


class WhenFilter(admin.SimpleListFilter):
    """What is open or still to come, unless the past is asked for: a table covers ten years of it."""

    title = "when"
    parameter_name = "when"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Name what is not shown at first."""
        return [("past", "Past"), ("all", "All")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[TradingSession]") -> "QuerySet[TradingSession]":
        """Keep what is asked for."""
        if self.value() == "all":
            return queryset
        if self.value() == "past":
            return queryset.filter(closes_at__lte=pages.now()).order_by("-day", "calendar")
        return queryset.filter(closes_at__gt=pages.now())

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Call the first choice by its name: it does not show all."""
        first, *others = super().choices(changelist)
        yield {**first, "display": "Now and to come"}
        yield from others


@cells.computed("day")
def day(row: TradingSession) -> str:
    """Name the session by the exchange's own date."""
    return f"{row.day:%a %Y-%m-%d}"


@cells.computed("hours")
def hours(row: TradingSession) -> str:
    """Say when a session is shorter than usual, or has a break."""
    notes = [cells.tag("early close", "warn")] if row.early_close else []
    if row.break_starts_at and row.break_ends_at:
        notes.append(
            format_html("break {}\u2013{}", *(f"{at:%H:%M}" for at in (row.break_starts_at, row.break_ends_at)))
        )
    return format_html_join(" ", "{}", ((note,) for note in notes))


@cells.computed("pre-market from")
def pre_market(row: TradingSession) -> str:
    """Show when the pre-market opens, in UTC."""
    return f"{row.pre_opens_at:%H:%M}" if row.pre_opens_at else cells.NOTHING


@cells.computed("after-market until")
def after_market(row: TradingSession) -> str:
    """Show when the after-market closes, in UTC."""
    return f"{row.post_closes_at:%H:%M}" if row.post_closes_at else cells.NOTHING


@admin.register(TradingSession)
class TradingSessionAdmin(ReadOnlyPage):
    """The sessions of every calendar that was refreshed; `manage.py calendars refresh` brings more."""

    list_display = (
        "calendar",
        day,
        cells.instant("opens_at", "opens"),
        cells.instant("closes_at", "closes"),
        hours,
        pre_market,
        after_market,
    )
    list_filter = (WhenFilter, "early_close", "calendar")
    search_fields = ("calendar",)
    ordering = ("day", "calendar")
