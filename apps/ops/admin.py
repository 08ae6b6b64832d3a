"""The admin's section System: the journal, who leads, which processes live, and the timetable in the site's look."""

from datetime import timedelta

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.access.desk import cells, pages
from apps.access.desk.rows import ReadOnlyPage
from apps.journal.models import Event, Lease, LogLine, Pulse
from apps.ops import beat_admin  # noqa: F401 - registers its pages
from apps.ops.backups.admin import BackupRunAdmin
from apps.ops.backups.models import BackupRun
from apps.ops.configuration.admin import ConfigurationAdmin
from apps.ops.configuration.models import ConfigurationVersion
from apps.ops.jobs.admin import JobAdmin, JobRunAdmin
from apps.ops.jobs.models import Job, JobRun
from apps.ops.logs.admin import LogLineAdmin
from apps.trading import selectors
from apps.trading.admin import story

SILENT_AFTER = timedelta(seconds=10)
NOUNS = (
    "position",
    "exit",
    "account",
    "instrument",
    "strategy",
    "feed",
    "listener",
    "request",
    "site",
    "backup",
    "job",
)


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
admin.site.register(LogLine, LogLineAdmin)
admin.site.register(ConfigurationVersion, ConfigurationAdmin)
admin.site.register(Job, JobAdmin)
admin.site.register(JobRun, JobRunAdmin)
