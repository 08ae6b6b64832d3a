"""Violations: limits that are or were broken, since when, by how much, and what was done."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html

from apps.access.desk import cells
from apps.trading.admin import places
from apps.trading.admin.risk import action
from apps.trading.admin.rows import AccountFilter, OwnReadOnly
from apps.trading.models import Violation


class OpenFilter(admin.SimpleListFilter):
    """Filters by whether it stands."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer both."""
        return [("open", "stands"), ("ended", "ended")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep what was chosen."""
        return queryset.filter(ended_at__isnull=self.value() == "open") if self.value() else queryset


@cells.computed("state", "ended_at")
def state(row: Violation) -> str:
    """Say whether it stands, and how long it did."""
    if row.ended_at is None:
        return cells.tag("stands", "bad")
    seconds = (row.ended_at - row.began_at).total_seconds()
    return format_html('{} <span class="num">{}</span>', cells.tag("ended", "idle"), f"after {_span(seconds)}")


@cells.computed("number against limit")
def numbers(row: Violation) -> str:
    """Show what was seen and what is allowed."""
    return format_html('<span class="num">{} / {}</span>', row.number, row.bound)


@cells.computed("where")
def where(row: Violation) -> str:
    """Name where the limit applies."""
    return places.name(row)


@cells.computed("rule", "rule")
def rule(row: Violation) -> str:
    """Name the rule, with a way to its limit."""
    name = row.rule.replace("_", " ")
    return cells.link(row.limit, name) if row.limit else format_html("{} (limit deleted)", name)


@admin.register(Violation)
class ViolationAdmin(OwnReadOnly):
    """Every breach the monitor saw, newest first."""

    list_display = (
        "id",
        cells.text("account"),
        rule,
        where,
        numbers,
        state,
        action,
        cells.instant("acted_at", "acted"),
        cells.instant("began_at", "began"),
    )
    shown = (
        cells.text("account"),
        rule,
        where,
        "sentence",
        cells.text("number", "number seen"),
        cells.text("bound", "limit"),
        cells.text("formula"),
        state,
        action,
        cells.exact("began_at"),
        cells.exact("seen_at", "last seen"),
        cells.exact("acted_at", "acted at"),
        cells.exact("ended_at"),
    )
    list_filter = (OpenFilter, "action", "rule", AccountFilter)
    search_fields = ("rule", "sentence")
    list_select_related = ("account", "limit")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Read the names of all places on the page at once."""
        page = super().get_changelist_instance(request)
        places.name_all(page.result_list)
        return page


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
