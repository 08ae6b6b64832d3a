"""Settings out of the site as a CSV, and in again: every row through the very form a person would fill.

An import is first shown and then done, in one transaction, all or nothing. Rows of money have no such page.
"""

import copy
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action

from apps.access import history
from apps.access.desk import sheets
from apps.access.desk.fields import LineField
from apps.access.desk.past import REASON
from apps.domain.errors import Refused

TEMPLATE: Final = "admin/import.html"


class SheetForm(forms.Form):
    """The file, or what was read of it, and why it is brought in."""

    file = forms.FileField(required=False, label="CSV file")
    text = forms.CharField(required=False, widget=forms.HiddenInput, strip=False)
    seen = forms.CharField(required=False, widget=forms.HiddenInput)
    reason = LineField(max_length=300, help_text="Stays in the history of every row that changes, with your name.")

    def clean(self) -> dict[str, Any]:
        """Read the file, if one was chosen."""
        given = super().clean() or {}
        if given.get("file"):
            if given["file"].size > sheets.MOST_BYTES:
                raise forms.ValidationError(f"A sheet has at most {sheets.MOST_BYTES} bytes: split it.")
            try:
                given["text"] = given["file"].read().decode("utf-8-sig")
            except UnicodeDecodeError:
                raise forms.ValidationError("This is no text in UTF-8: save it as CSV (UTF-8).") from None
        elif not given.get("text"):
            self.add_error("file", "Choose a file.")
        return given


@dataclass(slots=True, kw_only=True)
class Row:
    """One line of a sheet: what it would do, or why it cannot."""

    line: int
    name: str
    word: str = "unchanged"  # new, changed, unchanged, wrong
    differences: list[tuple[str, str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    form: Any = None
    request: Any = None

    @property
    def tone(self) -> str:
        """The tone of its word."""
        return {"new": "good", "changed": "busy", "wrong": "bad"}.get(self.word, "idle")


class Exchanged:
    """Gives a page of settings an export and an import; `sheet` names the columns, the first ones its `sheet_key`."""

    sheet: ClassVar[tuple[str, ...]] = ()
    sheet_key: ClassVar[tuple[str, ...]] = ()
    actions_list: Any = ("export_csv", "import_csv")

    def sheet_rows(self: Any, request: HttpRequest) -> Iterable[Any]:
        """Return the rows the person may see."""
        related = [one.name for one in self.model._meta.fields if one.is_relation and one.name in self.sheet]
        many = [one.name for one in self.model._meta.many_to_many if one.name in self.sheet]
        rows: models.QuerySet[Any] = self.get_queryset(request).order_by("pk")
        return rows.select_related(*related).prefetch_related(*many) if related else rows.prefetch_related(*many)

    def sheet_cells(self, row: Any) -> dict[str, str]:
        """Return a row as cells."""
        return sheets.shown(row, self.sheet)

    def sheet_given(self, cells: dict[str, str]) -> dict[str, str]:
        """Return the cells of a line as the form understands them."""
        return cells

    def has_import_permission(self: Any, request: HttpRequest) -> bool:
        """Say whether the person may add rows or change them; each row is asked about again."""
        return bool(self.has_add_permission(request) or self.has_change_permission(request))

    @action(description="Export", icon="download", url_path="export-csv", permissions=["view"])  # type: ignore[untyped-decorator]  # Unfold has no types
    def export_csv(self: Any, request: HttpRequest) -> HttpResponse:
        """Send the rows the person may see."""
        text = sheets.write(self.sheet, map(self.sheet_cells, self.sheet_rows(request)))
        name = f"{self.opts.model_name}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return HttpResponse("\ufeff" + text, content_type="text/csv; charset=utf-8", headers=headers)

    @action(description="Import", icon="upload", url_path="import-csv", permissions=["import"])  # type: ignore[untyped-decorator]  # Unfold has no types
    def import_csv(self: Any, request: HttpRequest) -> HttpResponse:
        """Show what a sheet would change; change it when that was seen and is still so."""
        form = SheetForm(request.POST, request.FILES) if request.method == "POST" else SheetForm()
        if not form.is_valid():
            return _show(self, request, form, [])
        given = form.cleaned_data
        try:
            rows = _read(self, request, given["text"], given["reason"])
        except Refused as refused:
            for problem in refused.problems:
                form.add_error("file", f"{problem.value} {problem.rule}; {problem.remedy}.")
            return _show(self, request, form, [])
        seen = _seen(rows)
        if given["seen"] != seen or any(row.word == "wrong" for row in rows):
            again = SheetForm(initial={"text": given["text"], "seen": seen, "reason": given["reason"]})
            return _show(self, request, again, rows, meanwhile=bool(given["seen"]))
        return _do(self, request, rows, given["reason"])


def _read(admin: Any, request: HttpRequest, text: str, reason: str) -> list[Row]:
    """Return what each line would do. Raises Refused for what is no sheet."""
    lines = sheets.read(text, admin.sheet)
    there = {tuple(admin.sheet_cells(row)[name] for name in admin.sheet_key): row for row in admin.sheet_rows(request)}
    found, keys = [], set()
    for index, cells in enumerate(lines, start=2):
        key = tuple(cells.get(name, "").strip() for name in admin.sheet_key)
        row = Row(line=index, name=" ".join(key))
        if key in keys:
            row.word, row.problems = "wrong", ["The sheet has this row twice."]
        else:
            _judge(admin, request, row, cells, there.get(key), reason)
        keys.add(key)
        found.append(row)
    return found


def _judge(admin: Any, request: HttpRequest, row: Row, cells: Mapping[str, str], there: Any, reason: str) -> None:
    """Fill the form a person would fill, and keep what it says."""
    may = admin.has_change_permission(request, there) if there else admin.has_add_permission(request)
    if not may:
        row.word, row.problems = "wrong", ["You may not change this." if there else "You may not add rows."]
        return
    before = admin.sheet_cells(there) if there else {}  # now: a form that is checked writes to the row it is about
    given = admin.sheet_given(dict(cells))
    row.request = _as_if_sent(request, given)
    fill = admin.get_form(row.request, there, change=there is not None)
    try:
        data = sheets.filled(fill(instance=there), given)
    except Refused as refused:
        row.word, row.problems = "wrong", [str(problem) for problem in refused.problems]
        return
    row.form = fill({**data, REASON: reason}, instance=there)
    row.problems = [*_problems(row.form), *_fixed(row.form, cells, before)]
    if row.problems:
        row.word = "wrong"
    else:
        _compare(row, cells, before)


def _problems(form: Any) -> list[str]:
    told = form.errors.get_json_data().items()
    return [f"{_title(name)}: {each['message']}" for name, problems in told for each in problems]


def _fixed(form: Any, cells: Mapping[str, str], before: Mapping[str, str]) -> list[str]:
    """Name columns that differ and that nobody changes once the row is there."""
    fixed = [name for name in before if name not in form.fields and name != sheets.PARAMETERS]
    return [f"{_title(name)}: stays {before[name]}." for name in fixed if cells.get(name, before[name]) != before[name]]


def _compare(row: Row, cells: Mapping[str, str], before: Mapping[str, str]) -> None:
    """Say what the valid form changes."""
    if not before:
        row.word = "new"
        row.differences = [(name, "", text) for name, text in cells.items() if text]
        return
    changed = {sheets.PARAMETERS if name.startswith(sheets.PREFIX) else name for name in row.form.changed_data}
    row.differences = [(name, before[name], text) for name, text in cells.items() if name in changed]
    row.word = "changed" if row.differences else "unchanged"


def _do(admin: Any, request: HttpRequest, rows: list[Row], reason: str) -> HttpResponse:
    """Save the forms as their pages would."""
    wanted = [row for row in rows if row.word in ("new", "changed")]
    with transaction.atomic():
        for row in wanted:
            change = row.word == "changed"
            saved = admin.save_form(row.request, row.form, change)
            history.because(reason)
            admin.save_model(row.request, saved, row.form, change)
            row.form.save_m2m()
    count = len(wanted)
    messages.success(request, f"{count} row{'' if count == 1 else 's'} of {len(rows)} added or changed.")
    return HttpResponseRedirect(_list(admin))


def _show(
    admin: Any, request: HttpRequest, form: SheetForm, rows: list[Row], *, meanwhile: bool = False
) -> HttpResponse:
    counts = {word: sum(row.word == word for row in rows) for word in ("new", "changed", "unchanged", "wrong")}
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": f"Import {admin.opts.verbose_name_plural}",
        "form": form,
        "rows": rows,
        "counts": counts,
        "may_go_on": bool(counts["new"] + counts["changed"]) and not counts["wrong"],
        "meanwhile": meanwhile,
        "columns": admin.sheet,
        "keys": admin.sheet_key,
        "back": _list(admin),
    }
    return TemplateResponse(request, TEMPLATE, context)


def _as_if_sent(request: HttpRequest, cells: Mapping[str, str]) -> HttpRequest:
    """Return the request with the cells as its form: pages ask it which plug-in was chosen."""
    if not request.user.is_authenticated:
        raise PermissionDenied
    asked = copy.copy(request)
    sent = QueryDict(mutable=True)
    sent.update(dict(cells))
    asked.POST = sent  # type: ignore[assignment]  # a request's form can be set
    return asked


def _seen(rows: list[Row]) -> str:
    """Return a digest of what the preview shows, to notice when it is no longer so."""
    told = repr([(row.line, row.word, row.differences) for row in rows])
    return hashlib.sha256(told.encode()).hexdigest()


def _list(admin: Any) -> str:
    return reverse(f"admin:{admin.opts.app_label}_{admin.opts.model_name}_changelist")


def _title(name: str) -> str:
    return "the row" if name == "__all__" else name.removeprefix(sheets.PREFIX).replace("_", " ")
