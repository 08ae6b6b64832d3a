"""The page of what became of a row, and the field that asks why it is changed."""

from typing import Any, ClassVar, Final, NamedTuple

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.access import history
from apps.access.desk import cells
from apps.access.desk.fields import LineField
from apps.access.history.watched import TABLES
from apps.access.models import Change

REASON: Final = "change_reason"
PER_PAGE: Final = 50
FEW: Final = 6  # values shown without being asked for
TEMPLATE: Final = "admin/history.html"
TONES: Final = {"added": "good", "changed": "busy", "deleted": "bad"}
WHY: Final = ("Why", {"fields": (REASON,), "description": "Stays in the history of this page, with your name."})


class Line(NamedTuple):
    """One change as the page shows it."""

    change: Change
    within: str  # the table, where it is not the page's own
    values: SafeString


class Past:
    """Gives a page of the admin the history of its rows."""

    def history_view(self: Any, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Show who changed the row, when, from what to what, and why."""
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        own = row._meta.db_table
        changes = Paginator(Change.objects.filter(subject=f"{own}:{row.pk}"), PER_PAGE)
        page = changes.get_page(request.GET.get("p"))
        context = {
            **self.admin_site.each_context(request),
            "title": f"History: {row}",
            "opts": self.opts,
            "original": row,
            "object": row,
            "page": page,
            "watched": own in TABLES,
            "lines": [Line(each, _within(each, own), differences(each)) for each in page],
            **(extra_context or {}),
        }
        return TemplateResponse(request, TEMPLATE, context)

    def delete_view(self: Any, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Keep why a row is deleted."""
        history.because(request.POST.get(REASON, ""))
        response: HttpResponse = super().delete_view(request, object_id, extra_context)  # type: ignore[misc] # the mixed-in class has it
        return response

    def changelist_view(self: Any, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Keep why several rows are deleted."""
        if REASON in request.POST:
            history.because(request.POST[REASON])
        response: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc] # the mixed-in class has it
        return response


class AsksWhy:
    """Asks why a row is changed; a page that mixes this in ends its fieldsets with `self.why(request, obj)`."""

    why_required: ClassVar[bool] = True

    def why(self: Any, request: HttpRequest, obj: Any) -> list[Any]:
        """Return the part of the form that asks; nothing for a new row, or for who only looks."""
        return [WHY] if obj is not None and self.has_change_permission(request, obj) else []

    def get_form(self: Any, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Add the field to the form of a row that is there already."""
        if obj is not None:
            field = LineField(label="Reason", max_length=300, required=self.why_required)
            base: Any = kwargs.get("form", self.form)
            kwargs["form"] = type(base)(base.__name__, (base,), {REASON: field})
        return super().get_form(request, obj, change=change, **kwargs)  # type: ignore[misc] # the mixed-in class has it

    def save_form(self: Any, request: HttpRequest, form: Any, change: bool) -> Any:
        """Keep the reason with what is saved next."""
        history.because(form.cleaned_data.get(REASON, ""))
        return super().save_form(request, form, change)  # type: ignore[misc] # the mixed-in class has it


def differences(change: Change) -> SafeString:
    """Show what differs, a line for each column; what a whole row held only when it is asked for."""
    names = sorted((change.old.keys() | change.new.keys()) - {"id"})
    lines = [(_title(name), _value(change.old, name), _value(change.new, name)) for name in names]
    told = [line for line in lines if line[1:] != (cells.NOTHING, cells.NOTHING)]
    rows = format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td></tr>", told)
    table = format_html('<table class="differences"><tbody>{}</tbody></table>', rows)
    if len(told) <= FEW:
        return table
    return format_html('<details class="differences-of"><summary>{} values</summary>{}</details>', len(told), table)


def _title(column: str) -> str:
    return column.removesuffix("_id").replace("_", " ")


def _value(values: dict[str, Any], name: str) -> Any:
    value = values.get(name)
    if value is None or value == "":
        return cells.NOTHING
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in sorted(value.items())) or "{}"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _within(change: Change, own: str) -> str:
    words = change.source_table.removeprefix(f"{own}_").partition("_")[2] or change.source_table
    return "" if change.source_table == own else words.replace("_", " ")
