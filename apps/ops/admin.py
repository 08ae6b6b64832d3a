"""The admin's section System: the journal, who leads, which processes live, and the timetable in the site's look."""

from datetime import timedelta

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django_celery_beat.admin import ClockedScheduleAdmin as BaseClockedScheduleAdmin
from django_celery_beat.admin import CrontabScheduleAdmin as BaseCrontabScheduleAdmin
from django_celery_beat.admin import PeriodicTaskAdmin as BasePeriodicTaskAdmin
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from apps.access.desk import cells, pages
from apps.access.desk.rows import Page, ReadOnlyPage
from apps.journal.models import Event, Lease, Pulse
from apps.ops.backups.admin import BackupRunAdmin
from apps.ops.backups.models import BackupRun
from apps.trading import selectors
from apps.trading.admin import story

SILENT_AFTER = timedelta(seconds=10)
NOUNS = ("position", "exit", "account", "instrument", "strategy", "feed", "listener", "request", "site", "backup")


class KindFilter(admin.SimpleListFilter):
    """Filters events by what they are about, without reading the whole journal to list the kinds."""

    title = "about"
    parameter_name = "about"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        """Offer the nouns that kinds begin with."""
        return [(noun, noun) for noun in NOUNS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        """Keep the events about one noun."""
        return queryset.filter(kind__startswith=f"{self.value()}.") if self.value() in NOUNS else queryset


@cells.computed("what")
def told(row: Event) -> str:
    """Say in words what happened, where there are words for it."""
    words = story.sentence(row)
    return cells.NOTHING if words == row.kind else words


@admin.register(Event)
class EventAdmin(ReadOnlyPage):
    """Everything that happened, newest first."""

    list_display = ("id", cells.instant("at"), "kind", "subject", cells.text("account_id", "account"), told, "actor")
    shown = (*list_display, cells.facts("payload"))
    list_filter = (KindFilter,)
    search_fields = ("=subject", "=kind", "=actor")
    search_help_text = "Exactly a subject like position:12, a kind like position.closed, or who asked"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        """Leave out what the person may not see."""
        return selectors.events(request.user).order_by("-id")


@admin.register(Lease)
class LeaseAdmin(ReadOnlyPage):
    """Who leads each role, and since which epoch."""

    list_display = ("name", "epoch", "holder", "backend_pid", cells.instant("acquired_at"), cells.instant("renewed_at"))


@cells.computed("state")
def liveliness(row: Pulse) -> str:
    """Say whether a process gave a sign of life recently."""
    silent = pages.now() - row.beat_at
    return cells.tag("live", "good") if silent < SILENT_AFTER else cells.tag("silent", "bad")


@admin.register(Pulse)
class PulseAdmin(ReadOnlyPage):
    """The processes and their last sign of life."""

    list_display = ("name", liveliness, "host", "pid", cells.instant("started_at"), cells.instant("beat_at"))
    shown = (*list_display, cells.facts("facts"))
    search_fields = ("name", "host")


admin.site.register(BackupRun, BackupRunAdmin)

# django-celery-beat registers its models with Django's plain pages; these are the same with the site's look.
for _model in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(_model)


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(BasePeriodicTaskAdmin, Page):  # type: ignore[misc] # neither has types
    """What beat starts, and when."""

    list_filter = ("enabled", "one_off")
    list_select_related = ("interval", "crontab", "solar", "clocked")

    def get_form(self, request: HttpRequest, obj: PeriodicTask | None = None, **options: object) -> type:
        """Give the two fields that django-celery-beat builds by hand the look of the others."""
        form: type = super().get_form(request, obj, **options)
        fields = form.base_fields  # type: ignore[attr-defined]  # a form of beat has fields
        if "task" in fields:
            fields["task"].widget = UnfoldAdminTextInputWidget(attrs=fields["task"].widget.attrs)
        if "regtask" in fields:
            fields["regtask"].widget = UnfoldAdminSelectWidget(choices=fields["regtask"].choices)
        return form


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(ModelAdmin):  # type: ignore[misc] # Unfold has no types
    """Every so often."""


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(BaseCrontabScheduleAdmin, ModelAdmin):  # type: ignore[misc] # neither has types
    """At minutes, hours and days."""


@admin.register(SolarSchedule)
class SolarScheduleAdmin(ModelAdmin):  # type: ignore[misc] # Unfold has no types
    """At sunrise and the like."""


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(BaseClockedScheduleAdmin, ModelAdmin):  # type: ignore[misc] # neither has types
    """Once, at an instant."""
