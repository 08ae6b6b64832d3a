"""What all pages of the admin have in common: strict number fields, and rows that only services may change."""

from typing import Any

from django.db import models
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin, TabularInline

from apps.access.desk.cells import Cell
from apps.access.desk.counting import Estimating
from apps.access.desk.fields import NumberField
from apps.access.desk.past import Past


class StrictNumbers:
    """Lets every decimal be entered through NumberField, which brings its own widget."""

    def formfield_for_dbfield(self, db_field: "models.Field[Any, Any]", request: HttpRequest, **kwargs: Any) -> Any:
        """Return the form field of a model's field."""
        if isinstance(db_field, models.DecimalField):
            return db_field.formfield(form_class=NumberField, **kwargs)
        return super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc] # the mixed-in class has it


class Page(StrictNumbers, Past, ModelAdmin):  # type: ignore[misc] # Unfold has no types
    """A list and a form for settings that a person may edit."""

    list_per_page = 50
    list_max_show_all = 200
    show_full_result_count = False  # counting a large table twice shows nothing
    paginator = Estimating  # nor once, for every page of millions of rows
    warn_unsaved_form = True
    list_fullwidth = True


class ReadOnlyPage(Page):
    """A list and a page for rows that nobody edits: `shown` names the fields and cells of the page."""

    shown: tuple[str | Cell, ...] = ()
    actions: Any = None

    def get_fields(self, request: HttpRequest, obj: models.Model | None = None) -> tuple[str | Cell, ...]:
        """Show what the page lists."""
        return self.shown or tuple(self.list_display)

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> tuple[str | Cell, ...]:
        """Everything is read-only."""
        return self.get_fields(request, obj)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show no history: what nobody edits has none."""
        context = {"show_history": False, **(extra_context or {})}
        response: HttpResponse = super().changeform_view(request, object_id, form_url, context)
        return response

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Nobody adds rows by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Nobody changes rows by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Nobody deletes rows by hand."""
        return False


class Table(StrictNumbers, TabularInline):  # type: ignore[misc] # Unfold has no types
    """Rows edited on the page of the row they belong to."""

    extra = 0
