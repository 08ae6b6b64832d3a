"""The pages of jobs: when each is due, how its last run went, run it now, pause it, and what became of every slot."""

from datetime import timedelta
from typing import Any, Final

from celery import current_app
from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget

from apps.access.desk import cells, pages
from apps.access.desk.rows import Page, ReadOnlyPage
from apps.ops.jobs import asking, rules, selectors
from apps.ops.jobs.models import Job, JobRun

TONES: Final = {"done": "good", "failed": "bad", "running": "busy", "waiting": "busy", "skipped": "warn"}
SETTINGS: Final = ("name", "task", "kwargs", "rule", "calendar", "zone", "missed", "grace", "attempts", "description")
COMING: Final = 5
LAST: Final = 10
_OURS: Final = ("ops.", "market.", "reporting.", "trading.", "strategies.", "backtests.")
_BY_BELL: Final = frozenset({"ops.run_job"})  # it takes a run's number, which only the beat knows


class JobForm(forms.ModelForm):  # type: ignore[type-arg] # not generic while it runs
    """When a task is done, and what becomes of missed slots."""

    task = forms.ChoiceField(widget=UnfoldAdminSelectWidget, help_text="What is done.")

    class Meta:
        model = Job
        fields = SETTINGS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in {"kwargs", "description"} & self.fields.keys():
            self.fields[name].widget.attrs["rows"] = 2
        if "task" in self.fields:
            self.fields["task"].choices = [(name, name) for name in _tasks(self.instance.task)]  # type: ignore[attr-defined]  # a choice field

    def clean_kwargs(self) -> dict[str, Any]:
        """Take arguments by name only."""
        given = self.cleaned_data.get("kwargs") or {}
        if not isinstance(given, dict):
            raise ValidationError("Arguments are given by name, like {}.")
        return given

    def clean_grace(self) -> timedelta:
        """Take from one second to a day."""
        grace: timedelta = self.cleaned_data["grace"]
        if not timedelta(seconds=1) <= grace <= timedelta(days=1):
            raise ValidationError("From 00:00:01 to a day.")
        return grace

    def clean(self) -> dict[str, Any]:
        """Ask when it is due: a rule that never is, or a calendar without sessions, is said here."""
        given = super().clean() or {}
        if not self.errors:
            wanted = Job(rule=given["rule"], calendar=given["calendar"], zone=given["zone"])
            try:
                rules.Answers().next_after(wanted, pages.now())
            except rules.UNANSWERED as error:
                self.add_error("rule", rules.sentence(error))
        return given


@cells.computed("due", "rule")
def when(row: Job) -> str:
    """Show the rule and the calendar it is asked on."""
    place = f"{row.calendar} {row.zone}".strip()
    return format_html('<span class="word">{}</span> <span class="tone-idle">{}</span>', row.rule, place)


@cells.computed("next run", "next_at")
def next_run(row: Job) -> str:
    """Show the next instant, or why there is none."""
    if not row.enabled:
        return cells.tag("paused", "warn")
    if row.problem:
        return format_html('<span class="tone-bad">{}</span>', row.problem)
    return cells.at(row.next_at) if row.next_at else cells.tag("soon", "busy")


@cells.computed("last run")
def last_run(row: Any) -> str:
    """Show when the last run began, as a link to it."""
    if not row.last_pk:
        return cells.NOTHING
    url = reverse("admin:ops_jobrun_change", args=[row.last_pk])
    return format_html('<a class="ref" href="{}">{}</a>', url, cells.at(row.last_started_at))


@cells.computed("result")
def last_result(row: Any) -> str:
    """Show how the last run went."""
    return cells.tag(row.last_state, TONES.get(row.last_state, "plain")) if row.last_state else cells.NOTHING


@cells.computed("took")
def last_duration(row: Any) -> str:
    """Show how long it took."""
    return _seconds(row.last_duration)


@cells.computed("took", "duration")
def duration(row: JobRun) -> str:
    """Show how long a run took."""
    return _seconds(row.duration)


@cells.computed("coming")
def coming(row: Job) -> str:
    """List the next instants, in UTC."""
    answers, at = rules.Answers(), pages.now()
    found: list[tuple[str]] = []
    try:
        for _ in range(COMING):
            at = answers.next_after(row, at)
            found.append((cells.at(at),))
    except rules.UNANSWERED as error:
        found.append((rules.sentence(error),))
    return format_html_join(SafeString("<br>"), "{}", found)


@cells.computed("history")
def newest(row: Job) -> str:
    """List the last runs, and link to all."""
    rows = format_html_join("", _LINE, (_line(run) for run in selectors.runs(row.pk)[:LAST]))
    url = f"{reverse('admin:ops_jobrun_changelist')}?job__id__exact={row.pk}"
    table = format_html('<table class="differences"><tbody>{}</tbody></table>', rows)
    return format_html('{}<a class="ref" href="{}">All runs</a>', table, url)


class JobAdmin(Page):
    """What is done by the calendar."""

    form = JobForm
    list_display = ("name", when, next_run, last_run, last_duration, last_result)
    list_filter = ("enabled", "calendar")
    search_fields = ("name", "task", "rule", "description")
    fields = (SETTINGS[0], next_run, coming, newest, *SETTINGS[1:])
    readonly_fields = (next_run, coming, newest)
    actions_detail = ("run_now", "pause_or_resume")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """Add how the last run went."""
        return selectors.jobs().order_by("name")

    def get_fields(self, request: HttpRequest, obj: Job | None = None) -> Any:
        """A new job has nothing to show yet."""
        return self.fields if obj else SETTINGS

    def get_readonly_fields(self, request: HttpRequest, obj: Job | None = None) -> Any:
        """Keep the name of a job: the code knows its own by it."""
        return (*self.readonly_fields, "name") if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: Job, form: Any, change: bool) -> None:
        """Save it, due from now on, and write down who did."""
        changes = {name: form.cleaned_data[name] for name in form.changed_data if name in form.cleaned_data}
        asking.changed(obj, changes, actor=pages.actor(request), now=pages.now())

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Let the runs of a job go with it, although nobody deletes one by itself."""
        listed, counts, _, protected = super().get_deleted_objects(objs, request)
        return listed, counts, set(), protected

    def delete_model(self, request: HttpRequest, obj: Job) -> None:
        """Delete it with its history, and write down who did."""
        asking.delete(obj.pk, actor=pages.actor(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Delete several the same way."""
        for job in queryset:
            self.delete_model(request, job)

    @action(description="Run now", icon="play_arrow", url_path="run")  # type: ignore[untyped-decorator]  # Unfold has no types
    def run_now(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Run it once, besides its timetable."""
        job = self._may_change(request, object_id)
        note = f"Runs {job.task} once, as soon as a worker is free. Its timetable stays as it is."
        question = pages.Question(f"Run {job.name} now", note, "Run it", _page(job))

        def act(_given: dict[str, Any]) -> pages.Done:
            run = asking.run_now(job.pk, actor=pages.actor(request), now=pages.now())
            return pages.Done(f"{job.name} is asked for.", reverse("admin:ops_jobrun_change", args=[run.pk]))

        return pages.ask(self, request, _yes(request), question, act)

    @action(description="Pause or resume", icon="pause", url_path="switch")  # type: ignore[untyped-decorator]  # Unfold has no types
    def pause_or_resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Pause a job, or let a paused one go on."""
        job = self._may_change(request, object_id)
        word, note = ("Pause", "Nothing is run until somebody resumes it; what is due meanwhile is not made up for.")
        if not job.enabled:
            word, note = "Resume", "It is due again from now on; what was due in the pause is not made up for."
        question = pages.Question(f"{word} {job.name}", note, word, _page(job), dangerous=job.enabled)

        def act(_given: dict[str, Any]) -> pages.Done:
            asking.switch(job.pk, enabled=not job.enabled, actor=pages.actor(request), now=pages.now())
            return pages.Done(f"{job.name} is {'paused' if job.enabled else 'resumed'}.", _page(job))

        return pages.ask(self, request, _yes(request), question, act)

    def _may_change(self, request: HttpRequest, object_id: str) -> Job:
        job: Job | None = self.get_object(request, object_id)
        if job is None:
            raise Http404
        if not self.has_change_permission(request, job):
            raise PermissionDenied
        return job


class JobRunAdmin(ReadOnlyPage):
    """Every slot and every run that was asked for, newest first."""

    list_display = (
        "id",
        cells.linked("job"),
        cells.instant("slot"),
        cells.word("state", tones=TONES),
        cells.instant("started_at", "began"),
        duration,
        "attempts",
        cells.text("asked_by", "asked by"),
        cells.text("error"),
    )
    shown = (
        *list_display[:-1],
        cells.instant("made_at"),
        cells.instant("due_at"),
        cells.instant("ended_at", "ended"),
        cells.text("worker"),
        "epoch",
        cells.text("result"),
        cells.text("error"),
    )
    list_filter = ("state", "job")
    list_select_related = ("job",)
    search_fields = ("=job__name", "error")


_LINE: Final = '<tr><td><a class="ref" href="{}">{}</a></td><td>{}</td><td class="num">{}</td><td>{}</td></tr>'


def _line(run: JobRun) -> tuple[Any, ...]:
    url = reverse("admin:ops_jobrun_change", args=[run.pk])
    state = cells.tag(run.state, TONES.get(run.state, "plain"))
    return url, cells.at(run.slot), state, _seconds(run.duration), run.error or run.result or run.asked_by


def _seconds(span: timedelta | None) -> str:
    return cells.NOTHING if span is None else f"{span.total_seconds():.2f} s"


def _tasks(own: str) -> list[str]:
    current_app.loader.import_default_modules()
    ours = {name for name in current_app.tasks if name.startswith(_OURS) and name not in _BY_BELL}
    return sorted({*ours, own} - {""})


def _page(job: Job) -> str:
    return reverse("admin:ops_job_change", args=[job.pk])


def _yes(request: HttpRequest) -> forms.Form:
    """Return a form without fields: to send it is to say yes."""
    return forms.Form(request.POST if request.method == "POST" else None)
