"""Kept log lines in the admin, for those who see everybody's accounts: a line may be about anybody's."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.access.desk import cells
from apps.access.desk.rows import ReadOnlyPage
from apps.journal.models import LogLine
from apps.trading import selectors

TONES = {"CRITICAL": "bad", "ERROR": "bad", "WARNING": "warn"}
PROCESSES = ("web", "listener", "sweeper", "worker", "beat", "telegram", "flower")


@cells.computed("level", order="level")
def level(row: LogLine) -> str:
    """Show how bad it is."""
    return cells.tag(row.level.lower(), TONES.get(row.level, ""))


@cells.computed("message")
def beginning(row: LogLine) -> str:
    """Show the first words of a message."""
    return row.message if len(row.message) <= 160 else f"{row.message[:160]} ..."


class LevelFilter(admin.SimpleListFilter):
    """Filters by level without asking which levels there are."""

    title = "level"
    parameter_name = "level"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        """Offer the levels that are kept."""
        return [(name, name.lower()) for name in TONES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[LogLine]) -> QuerySet[LogLine]:
        """Keep the lines of one level."""
        return queryset.filter(level=self.value()) if self.value() in TONES else queryset


class ProcessFilter(admin.SimpleListFilter):
    """Filters by kind of process."""

    title = "process"
    parameter_name = "process"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        """Offer the kinds of process."""
        return [(name, name) for name in PROCESSES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[LogLine]) -> QuerySet[LogLine]:
        """Keep the lines of processes whose name begins so."""
        chosen = self.value() or ""
        return queryset.filter(process__startswith=chosen) if chosen in PROCESSES else queryset


class LogLineAdmin(ReadOnlyPage):
    """Warnings and worse of every process, newest first."""

    list_display = ("id", cells.instant("at"), level, "process", "logger", beginning)
    shown = (
        *("id", cells.instant("at"), level, "process", "host", "pid", "logger", "message", "trace"),
        *("request_id", "task", "task_id"),
    )
    list_filter = (LevelFilter, ProcessFilter)
    search_fields = ("=request_id", "=task", "=task_id", "=logger")
    search_help_text = "Exactly a request (X-Request-ID), a task like ops.prune, or a logger"

    def get_queryset(self, request: HttpRequest) -> QuerySet[LogLine]:
        """Show nothing to those who do not see everybody's accounts."""
        rows = LogLine.objects.order_by("-id")
        return rows if selectors.sees_all(request.user) else rows.none()
