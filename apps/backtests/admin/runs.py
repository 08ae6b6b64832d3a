"""Runs in the admin: asked for, watched while they are computed, read, and compared."""

from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from apps.access.desk import cells, pages
from apps.access.desk.rows import ReadOnlyPage
from apps.backtests import selectors, stored_reports
from apps.backtests.admin import drawing, telling
from apps.backtests.admin.forms import RunForm, request_of
from apps.backtests.models import Evidence, Run
from apps.backtests.report import page as report
from apps.backtests.services import runs
from apps.strategies.models import Strategy

TONES: Final = {"queued": "idle", "running": "busy", "done": "good", "failed": "bad", "cancelled": "idle"}
UNFINISHED: Final = (Run.State.QUEUED, Run.State.RUNNING)
FEWEST, MOST = 2, 4
LIST: Final = "admin:backtests_run_changelist"


@cells.computed("state", "state")
def state(row: Run) -> str:
    """Show how far a run is."""
    tag = cells.tag(row.state, TONES[row.state])
    if row.state == Run.State.RUNNING:
        return format_html('{} <span class="num">{}</span>', tag, f"{row.progress:.0%}")
    count = telling.reds(row)
    reds = cells.tag(f"{count} red", "bad") if count else ""
    return format_html('<span class="word">{} {}</span>', tag, reds)


@cells.computed("strategy", "plugin")
def strategy(row: Run) -> str:
    """Show which strategy it is a run of."""
    return str(row.strategy or row.plugin)


@cells.computed("equity")
def curve(row: Run) -> str:
    """Show the equity as a line, which the browser asks for when it comes into view and then keeps."""
    if row.state != Run.State.DONE:
        return cells.NOTHING
    address = reverse("admin:backtests_run_curve", args=[row.pk])
    shown = '<img src="{}" alt="Equity" width="120" height="28" style="min-width:120px" loading="lazy">'
    return format_html(shown, address)


@cells.computed("report")
def report_link(row: Run) -> str:
    """Link to the report of a finished run."""
    if row.state != Run.State.DONE:
        return cells.NOTHING
    return format_html('<a class="ref" href="{}">report</a>', reverse("admin:backtests_run_report", args=[row.pk]))


def figure(key: str, title: str) -> cells.Cell:
    """Show one statistic of a run in its unit."""

    @cells.computed(title)
    def cell(row: Run) -> str:
        shown = telling.told(row, key) if row.state == Run.State.DONE else cells.NOTHING
        return format_html('<span class="num">{}</span>', shown)

    cell.__name__ = key
    return cell


@admin.register(Run)
class RunAdmin(ReadOnlyPage):
    """Every backtest, newest first."""

    list_display = (
        "id",
        strategy,
        cells.text("source", "candles"),
        state,
        curve,
        figure("return_pct", "return"),
        figure("max_drawdown_pct", "drawdown"),
        figure("sharpe", "Sharpe"),
        figure("closed_trades", "trades"),
        report_link,
        cells.instant("made_at", "made"),
    )
    list_filter = ("state", "kind", "plugin")
    search_fields = ("=id", "plugin", "source", "strategy__name")
    list_select_related = ("strategy",)
    actions = ("compare",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """Newest first, without the columns of megabytes."""
        rows: QuerySet[Run] = super().get_queryset(request)
        return rows.defer(*selectors.HEAVY).order_by("-id")

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of one run, and the comparison of several."""
        wrap = self.admin_site.admin_view
        own = [
            path("<int:run_id>/report/", wrap(self.report), name="backtests_run_report"),
            path("<int:run_id>/curve.svg", wrap(self.curve, cacheable=True), name="backtests_run_curve"),
            path("<int:run_id>/cancel/", wrap(self.cancel), name="backtests_run_cancel"),
            path("compare/", wrap(self.comparison), name="backtests_run_compare"),
        ]
        return [*own, *super().get_urls()]

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Starting a backtest counts as adding a run."""
        return request.user.has_perm("backtests.add_run")

    # --- pages ------------------------------------------------------------------------------------------------------

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Ask on what and how to run a strategy, and start it."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        now = pages.now()
        form = RunForm(request.POST if request.method == "POST" else None, _chosen(request), now.date())
        note = "It is computed by a worker; the next page shows how far it is."
        question = pages.Question("Run a backtest", note, "Run it", reverse(LIST))

        def act(given: dict[str, Any]) -> pages.Done:
            user: Any = request.user
            run = runs.start(request_of(given, now), now=now, made_by=user, strategy=given["strategy"])
            return pages.Done(f"Run {run.pk} is on its way.", _page(run))

        return pages.ask(self, request, form, question, act)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show a run: how far it is while it is computed, then what came of it."""
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        run = self._run(request, object_id, heavy=True)
        done = run.state == Run.State.DONE
        context = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta,
            "original": run,
            "title": f"Run {run.pk}",
            "run": run,
            "state": state(run),
            "unfinished": run.state in UNFINISHED,
            "percent": round(run.progress * 100),
            "may_cancel": run.state in UNFINISHED and self.has_add_permission(request),
            "conventions": telling.conventions(run),
            "figures": telling.figures(run) if done else [],
            "remarks": telling.remarks(run),
            "picture": telling.picture(run) if done else "",
            "evidence": list(Evidence.objects.filter(run=run).select_related("strategy")),
        }
        return TemplateResponse(request, "admin/backtests/run.html", context)

    def report(self, request: HttpRequest, run_id: int) -> HttpResponse:
        """Serve the report of a finished run."""
        run = self._finished(request, run_id)
        made = HttpResponse(report.html(stored_reports.subject_of(run, made_at=pages.now())))
        if "download" in request.GET:
            made["Content-Disposition"] = f'attachment; filename="run-{run.pk}.html"'
        return made

    def curve(self, request: HttpRequest, run_id: int) -> HttpResponse:
        """Serve the small picture of the equity; a finished run never changes, so it may be kept."""
        _, equity = selectors.equity(self._finished(request, run_id))
        picture = HttpResponse(drawing.sparkline(equity), content_type="image/svg+xml")
        picture["Cache-Control"] = "private, max-age=31536000, immutable"
        return picture

    def cancel(self, request: HttpRequest, run_id: int) -> HttpResponse:
        """Take a run back that is not finished."""
        run = self._run(request, str(run_id))
        if request.method != "POST" or not self.has_add_permission(request):
            raise PermissionDenied
        done = runs.cancel(run.pk, actor=pages.actor(request))
        messages.success(request, f"Run {run.pk} is cancelled." if done else f"Run {run.pk} was finished before.")
        return HttpResponseRedirect(_page(run))

    @admin.action(description="Compare side by side", permissions=["view"])
    def compare(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        """Lead to the comparison of the chosen runs."""
        chosen = sorted(queryset.filter(state=Run.State.DONE).values_list("pk", flat=True))
        if not FEWEST <= len(chosen) <= MOST:
            messages.warning(request, f"Choose {FEWEST} to {MOST} finished runs; these are {len(chosen)}.")
            return None
        numbers = ",".join(str(key) for key in chosen)
        return HttpResponseRedirect(f"{reverse('admin:backtests_run_compare')}?runs={numbers}")

    def comparison(self, request: HttpRequest) -> HttpResponse:
        """Show runs side by side."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        asked = request.GET.get("runs", "").split(",")
        keys = [int(text) for text in asked if text.isascii() and text.isdigit() and len(text) < 18]
        found = list(Run.objects.filter(pk__in=keys, state=Run.State.DONE).select_related("strategy").order_by("pk"))
        if not FEWEST <= len(found) <= MOST:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            **telling.side_by_side(found),
            "opts": self.model._meta,
            "title": "Runs side by side",
        }
        return TemplateResponse(request, "admin/backtests/comparison.html", context)

    # --- what they share --------------------------------------------------------------------------------------------

    def _run(self, request: HttpRequest, object_id: str, *, heavy: bool = False) -> Run:
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = Run.objects.select_related("strategy", "instrument", "made_by")
        rows = rows if heavy else rows.defer(*selectors.HEAVY)
        number = int(object_id) if object_id.isascii() and object_id.isdigit() and len(object_id) < 18 else 0
        run = rows.filter(pk=number).first()
        if run is None:
            raise Http404
        return run

    def _finished(self, request: HttpRequest, run_id: int) -> Run:
        run = self._run(request, str(run_id), heavy=True)
        if run.state != Run.State.DONE:
            raise Http404
        return run


def _chosen(request: HttpRequest) -> Strategy | None:
    """Return the strategy that the address or the form names."""
    named = request.POST.get("strategy") or request.GET.get("strategy") or ""
    return Strategy.objects.filter(pk=int(named)).first() if named.isascii() and named.isdigit() else None


def _page(run: Run) -> str:
    return reverse("admin:backtests_run_change", args=[run.pk])
