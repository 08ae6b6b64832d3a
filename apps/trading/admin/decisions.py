"""Decisions: why something was entered, and why not."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html

from apps.access.desk import cells
from apps.trading.admin.rows import AccountFilter, InstrumentFilter, OwnReadOnly
from apps.trading.models import Decision

SHOWN = 60  # signs of a reason in the list
TEMPLATE = "admin/trading/decision/why.html"


@cells.computed("answer", "approved")
def answer(row: Decision) -> str:
    """Show whether it was granted."""
    return cells.tag("approved", "good") if row.approved else cells.tag("refused", "bad")


@cells.computed("wish")
def wish(row: Decision) -> str:
    """Show what was wanted."""
    return format_html('<span class="word">{} {} {}</span>', row.side, cells.number("quantity")(row), row.instrument)


@cells.computed("why not", "reason")
def why(row: Decision) -> str:
    """Name the rules that refused, or show how the reason begins; the page has all of it."""
    if row.approved:
        return cells.NOTHING
    rules = [verdict["rule"].replace("_", " ") for verdict in row.verdicts if not verdict["allowed"]]
    text = ", ".join(rules) or row.reason
    shown = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
    return format_html('<span class="word" title="{}">{}</span>', row.reason, shown)


@cells.computed("asked by")
def by(row: Decision) -> str:
    """Show who asked and from where."""
    asked = row.strategy.name if row.strategy else row.actor
    if not row.source:
        return asked or cells.NOTHING
    return format_html('<span class="word">{} {}</span>', asked, cells.tag(row.source, "plain"))


@admin.register(Decision)
class DecisionAdmin(OwnReadOnly):
    """Every wish to enter and what came of it, newest first."""

    list_display = (
        "id",
        answer,
        cells.text("account"),
        wish,
        cells.number("price"),
        why,
        by,
        cells.instant("at"),
    )
    list_filter = ("approved", "side", AccountFilter, InstrumentFilter)
    search_fields = ("=id", "=request_key", "=signal__id", "reason")
    search_help_text = "Number, request key, number of the signal, or words of the reason"
    list_select_related = ("account", "instrument", "strategy")

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """Let other pages link to the decisions of a signal or a strategy."""
        return lookup in {"signal__id__exact", "strategy__id__exact"} or super().lookup_allowed(lookup, value, request)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Say why or why not."""
        if not self.has_view_permission(request) or request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        rows = self.get_queryset(request).select_related("account", "instrument", "strategy", "position__instrument")
        row = rows.filter(pk=int(object_id)).first() if object_id.isascii() and object_id.isdigit() else None
        if row is None:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta,
            "original": row,
            "title": f"Decision {row.pk}",
            "decision": row,
            "verdicts": sorted(row.verdicts, key=lambda verdict: verdict["allowed"]),
            "orders": list(row.orders.select_related("position__instrument").order_by("id")),
        }
        return TemplateResponse(request, TEMPLATE, context)
