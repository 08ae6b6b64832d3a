"""Reports: what was made, what it says, its files; and the wish to have one made anew."""

from typing import Any, Final

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.decorators import action

from apps.access.desk import cells, pages
from apps.access.desk.rows import ReadOnlyPage
from apps.reporting.models import FileFormat, Report
from apps.reporting.reports import making, selectors

_TONES: Final = {"wanted": "idle", "making": "busy", "made": "good", "failed": "bad"}


@cells.computed("read")
def links(row: Report) -> str:
    """Link to what can be read of it on the desk."""
    if row.made_at is None:
        return cells.NOTHING
    kinds = [(reverse("desk:report_file", args=[row.pk, kind]), kind.upper()) for kind in (*FileFormat.values, "csv")]
    return format_html_join(" \u00b7 ", '<a class="ref" href="{}">{}</a>', kinds)


@cells.computed("files")
def files(row: Report) -> str:
    """Show the stored files with their sizes and checksums."""
    lines = format_html_join(
        "",
        "<tr><td>{}</td><td>{} bytes</td><td>{}</td></tr>",
        [(each.format, f"{each.size:,}", each.sha256) for each in selectors.files(row)],
    )
    return format_html('<div class="desk"><table class="grid">{}</table></div>', lines) if lines else cells.NOTHING


@cells.computed("in short")
def verdict(row: Report) -> str:
    """Show what it says in one sentence."""
    document = selectors.document(row)
    return document.verdict.text if document else cells.NOTHING


@admin.register(Report)
class ReportAdmin(ReadOnlyPage):
    """Each person sees the reports of their accounts, a superuser all."""

    list_display = (
        "id",
        cells.text("kind"),
        "day",
        cells.linked("account"),
        cells.text("strategy"),
        cells.word("state", tones=_TONES),
        links,
        cells.instant("made_at", "made"),
    )
    shown = (
        *list_display,
        verdict,
        cells.instant("since"),
        cells.instant("until"),
        cells.instant("wanted_at", "wanted"),
        cells.text("wanted_by", "wanted by"),
        cells.text("tries"),
        cells.text("seconds", "seconds it took"),
        cells.text("error"),
        files,
    )
    list_filter = ("kind", "state", "account")
    search_fields = ("account__name", "strategy__name")
    list_select_related = ("account", "strategy")
    actions_detail = ("make_anew",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Report]:
        """Show a person the reports of their accounts; lists leave the figures in the database."""
        return selectors.reports(request.user)

    @action(description="Make anew", icon="replay", url_path="anew")  # type: ignore[untyped-decorator]  # Unfold has no types
    def make_anew(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Have it counted and written once more."""
        row: Report | None = self.get_object(request, object_id)
        if row is None:
            raise Http404
        if not request.user.has_perm("reporting.change_report"):
            raise PermissionDenied
        back = reverse("admin:reporting_report_change", args=[row.pk])
        note = f"{row} of {row.account} is counted from what is known now, and its files are replaced."
        question = pages.Question("Make anew", note, "Make it", back)

        def act(_: dict[str, Any]) -> pages.Done:
            making.renew(row, actor=pages.actor(request), now=pages.now())
            return pages.Done("A worker makes it within a minute.", back)

        form = forms.Form(request.POST if request.method == "POST" else None)
        return pages.ask(self, request, form, question, act)
