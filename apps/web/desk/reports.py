"""Reports: those that were made, each to be read, printed and fetched; and the wish for one more."""

from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from apps.access.desk import pages
from apps.reporting.models import FileFormat, Report, ReportKind, ReportState
from apps.reporting.reports import making, selectors
from apps.reporting.reports.making import Wish
from apps.reporting.reports.subjects import Subject, followed
from apps.strategies.models import Strategy
from apps.trading import selectors as trading
from apps.trading.models import Account
from apps.web.desk import doors

MOST: Final = 60
ARCHIVE: Final = "csv"
TYPES: Final = {
    FileFormat.HTML: "text/html; charset=utf-8",
    FileFormat.PDF: "application/pdf",
    ARCHIVE: "application/zip",
}
TONES: Final = {"wanted": "idle", "making": "busy", "made": "good", "failed": "bad"}
NAMES: Final = {
    ReportKind.DAILY: "Day",
    ReportKind.WEEKLY: "Week",
    ReportKind.MONTHLY: "Month",
    ReportKind.MORNING: "Morning",
}


class WishForm(forms.Form):
    """Which report somebody wants: the last whose time has ended, or the one around a day."""

    account = forms.ModelChoiceField(queryset=Account.objects.none(), empty_label=None)
    strategy = forms.ModelChoiceField(queryset=Strategy.objects.none(), required=False, empty_label="everything")
    kind = forms.ChoiceField(choices=list(NAMES.items()), label="About a")
    day = forms.DateField(
        required=False,
        label="Around",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Empty: the last one that has ended.",
    )

    def __init__(self, request: HttpRequest, data: Any = None) -> None:
        super().__init__(data)
        accounts = trading.for_user(request.user).order_by("id")
        followed_ = Strategy.objects.filter(allocations__account__in=accounts).distinct().order_by("name")
        for name, rows in (("account", accounts), ("strategy", followed_)):
            field = self.fields[name]
            if isinstance(field, forms.ModelChoiceField):
                field.queryset = rows

    def clean(self) -> dict[str, Any]:
        """Refuse a strategy that the account does not follow."""
        found = super().clean() or {}
        account, strategy = found.get("account"), found.get("strategy")
        if account and strategy and strategy.pk not in {each.strategy_id for each in followed(account)}:
            self.add_error("strategy", f"{account} does not follow it.")
        return found


@doors.page
@require_GET
def show_all(request: HttpRequest) -> HttpResponse:
    """List the newest reports of the person's accounts, and offer to make one."""
    return _listed(request, WishForm(request))


@doors.page
@require_POST
def make(request: HttpRequest) -> HttpResponse:
    """Have a report made, and lead to its page."""
    form = WishForm(request, request.POST)
    if form.is_valid():
        done = pages.attempt(form, lambda given: _wanted(request, given))
        if done is not None:
            messages.success(request, done.message)
            return HttpResponseRedirect(done.url)
    return _listed(request, form, status=422)


@doors.page
@require_GET
def show(request: HttpRequest, report_id: int) -> HttpResponse:
    """Show what a report says in short, and where its files are."""
    row = _own(request, report_id)
    document = selectors.document(row)
    context = {
        "title": document.title if document else f"{row} of {row.account}",
        "within_section": "reports",
        "row": row,
        "tone": TONES[row.state],
        "document": document,
        "files": selectors.files(row),
        "tables": [table for table in document.tables if table.rows] if document else [],
        "waits": row.state in (ReportState.WANTED, ReportState.MAKING),
    }
    return doors.show(request, "report", context)


@doors.page
@require_POST
def make_anew(request: HttpRequest, report_id: int) -> HttpResponse:
    """Have a report made once more, from what is known now."""
    row = _own(request, report_id)
    if making.renew(row, actor=pages.actor(request), now=pages.now()):
        messages.success(request, "It is made anew.")
    return HttpResponseRedirect(reverse("desk:report", args=[row.pk]))


@doors.page
@require_GET
def file(request: HttpRequest, report_id: int, kind: str) -> HttpResponse:
    """Give a file of a report: a page to be read here, or a PDF or archive to be kept."""
    row = _own(request, report_id)
    if kind not in TYPES:
        raise Http404
    content = selectors.archive(row) if kind == ARCHIVE else selectors.file(row, FileFormat(kind))
    if content is None:
        raise Http404
    answer = HttpResponse(content, content_type=TYPES[kind])
    if kind != FileFormat.HTML or "download" in request.GET:
        ending = "zip" if kind == ARCHIVE else kind
        answer["Content-Disposition"] = f'attachment; filename="{row.file_name}.{ending}"'
    return answer


@doors.page
@require_GET
def table(request: HttpRequest, report_id: int, name: str) -> HttpResponse:
    """Give one table of a report as CSV."""
    row = _own(request, report_id)
    text = selectors.csv(row, name)
    if text is None:
        raise Http404
    answer = HttpResponse(text, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{row.file_name}-{name}.csv"'
    return answer


def _listed(request: HttpRequest, form: WishForm, *, status: int = 200) -> HttpResponse:
    kind = request.GET.get("kind", "")
    rows = selectors.reports(request.user)
    rows = rows.filter(kind=kind) if kind in ReportKind.values else rows
    context = {
        "title": "Reports",
        "rows": [(row, TONES[row.state]) for row in rows[:MOST]],
        "kinds": NAMES,
        "kind": kind,
        "form": form,
        "most": MOST,
    }
    return doors.show(request, "reports", context, status=status)


def _wanted(request: HttpRequest, given: dict[str, Any]) -> pages.Done:
    now, subject = pages.now(), Subject(account=given["account"], strategy=given["strategy"])
    period = making.period_of(subject.account, ReportKind(given["kind"]), now, day=given["day"])
    row = making.want(Wish(subject=subject, period=period), actor=pages.actor(request), now=now)
    return pages.Done("A worker makes it within a minute.", reverse("desk:report", args=[row.pk]))


def _own(request: HttpRequest, report_id: int) -> Report:
    row = selectors.report(request.user, report_id)
    if row is None:
        raise Http404
    return row
