"""Every change of a setting, newest first; what became of one row stands on its own page, under History."""

from typing import Final

from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html

from apps.access.desk import cells
from apps.access.desk.past import TONES, differences
from apps.access.desk.rows import ReadOnlyPage
from apps.access.history.watched import TABLES
from apps.access.models import Change

_MODELS: Final = {model._meta.db_table: model for model in apps.get_models(include_auto_created=True)}


class TableFilter(admin.SimpleListFilter):
    """Filters by what was changed, without reading the history to list the tables."""

    title = "what"
    parameter_name = "what"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        """Offer the tables that have a history."""
        return sorted(((table, _noun(table)) for table in TABLES), key=lambda each: each[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Change]) -> QuerySet[Change]:
        """Keep the changes of one table."""
        return queryset.filter(source_table=self.value()) if self.value() in TABLES else queryset


@cells.computed("what")
def subject(row: Change) -> str:
    """Name what was changed, with a link to its page."""
    table, _, key = row.subject.partition(":")
    told = f"{_noun(row.source_table)} {row.row_id}" if row.source_table != table else f"{_noun(table)} {key}"
    model = _MODELS.get(table)
    try:
        address = (
            reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_history", args=[key]) if model else ""
        )
    except NoReverseMatch:
        address = ""
    return format_html('<a class="ref" href="{}">{}</a>', address, told) if address else told


@cells.computed("from, to")
def values(row: Change) -> str:
    """Show what differs."""
    return differences(row)


@admin.register(Change)
class ChangeAdmin(ReadOnlyPage):
    """Written by triggers of the database; nobody adds to it or takes away by hand."""

    list_display = (
        "id",
        cells.instant("at"),
        cells.text("actor", "who"),
        "source",
        cells.word("action", tones=TONES),
        subject,
        values,
        "reason",
    )
    list_filter = (TableFilter, "action")
    date_hierarchy = "at"
    search_fields = ("=actor", "=subject", "reason")
    search_help_text = "Exactly who, exactly what like trading_risklimit:12, or words of a reason"


def _noun(table: str) -> str:
    model = _MODELS.get(table)
    return str(model._meta.verbose_name).replace("-", " ") if model else table
