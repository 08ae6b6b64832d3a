"""The timetable's own tables in the site's look: what beat starts, and the rhythms it knows.

django-celery-beat registers its models with Django's plain pages; these are the same with words of ours.
"""

from typing import Any, Final

from django.contrib import admin
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
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from apps.access.desk import cells
from apps.access.desk.past import AsksWhy
from apps.access.desk.rows import Page, Table

_TASK: Final = "What runs, when it runs, and what it is told. A change counts from beat's next look, within seconds."
_RHYTHM: Final = "Choose exactly one. Rhythms are shared: change one on its own page, and all tasks that use it follow."
_TOLD: Final = "Written as JSON. The site's own tasks take named values only: leave the list as it is."
_RUNNING: Final = "The queue follows from the task's name; set one only for tasks that are not the site's."

_HELP: Final = {
    "name": "How you will find it; no two tasks share a name.",
    "regtask": "One of the site's own tasks,",
    "task": "or the name of another one, as its worker knows it.",
    "enabled": "Off: beat leaves it out; what runs already goes on.",
    "description": "What it is for, and whom to ask.",
    "interval": "Every so often.",
    "crontab": "At minutes, hours and days of a time zone.",
    "solar": "At sunrise and the like.",
    "clocked": "Once, at an instant; tick “one-off”, too.",
    "start_time": "Not before this instant (UTC); empty: at once.",
    "one_off": "Run once, then switch it off.",
    "args": "Values without names, such as [1, 2].",
    "kwargs": 'Values by name, such as {"days": 30}.',
    "queue": "Empty: the queue its name leads to.",
    "expires": "Not run after this instant (UTC).",
    "expire_seconds": "Not run when it waited longer than this in its queue.",
}

for _model in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(_model)


@cells.computed("when")
def rhythm(row: PeriodicTask) -> str:
    """Say in words when a task runs."""
    return str(row.crontab.human_readable) if row.crontab else str(row.scheduler or cells.NOTHING)


@cells.computed("state", "enabled")
def state(row: PeriodicTask) -> str:
    """Say whether a task is started."""
    return cells.tag("on", "good") if row.enabled else cells.tag("off", "idle")


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(AsksWhy, BasePeriodicTaskAdmin, Page):  # type: ignore[misc] # neither has types
    """What beat starts, and when."""

    list_display = ("name", state, rhythm, "task", cells.instant("last_run_at", "last start"), "description")
    list_filter = ("enabled", "one_off")
    list_select_related = ("interval", "crontab", "solar", "clocked")
    date_hierarchy = None
    search_help_text = "A name, or a task like market.refresh"
    why_required = False
    fieldsets = (
        (None, {"fields": ("name", "regtask", "task", "enabled", "description"), "description": _TASK}),
        (
            "When",
            {
                "fields": ("interval", "crontab", "crontab_translation", "solar", "clocked", "start_time", "one_off"),
                "description": _RHYTHM,
            },
        ),
        ("What it is told", {"fields": ("args", "kwargs"), "description": _TOLD}),
        (
            "How it runs",
            {
                "fields": ("expires", "expire_seconds", "queue", "exchange", "routing_key", "priority", "headers"),
                "description": _RUNNING,
                "classes": ("collapse",),
            },
        ),
    )

    def get_fieldsets(self, request: HttpRequest, obj: PeriodicTask | None = None) -> Any:
        """Ask why it is changed."""
        return [*super().get_fieldsets(request, obj), *self.why(request, obj)]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Give the two fields that django-celery-beat builds by hand the look of the others."""
        form: Any = super().get_form(request, obj, change, **kwargs)
        fields = form.base_fields
        if "task" in fields:
            fields["task"].widget = UnfoldAdminTextInputWidget(attrs=fields["task"].widget.attrs)
        for name in fields.keys() & _HELP.keys():
            fields[name].help_text = _HELP[name]
        if "regtask" in fields:
            fields["regtask"].widget = UnfoldAdminSelectWidget(choices=fields["regtask"].choices)
        return form

    @admin.display(description="crontab in words")
    def crontab_translation(self, row: PeriodicTask) -> str:
        """Say in words what the crontab means."""
        return str(row.crontab.human_readable) if row.crontab else cells.NOTHING


class Users(Table):
    """The tasks that use a rhythm."""

    model = PeriodicTask
    fields = ("name", "task", state)
    readonly_fields = fields
    can_delete = False
    show_change_link = True
    verbose_name_plural = "Tasks that run then"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tasks are added on their own page."""
        return False


class Rhythm(Page):
    """A rhythm that tasks share."""

    inlines = (Users,)
    said = ""

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Say what the rhythm is."""
        return [(None, {"fields": self.get_fields(request, obj), "description": self.said})]


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(Rhythm):
    """Every so often."""

    said = "Every so often, counted from the last start: 5 minutes, 10 seconds."
    list_display = ("__str__", "every", "period")


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(Rhythm, BaseCrontabScheduleAdmin):  # type: ignore[misc] # it has no types
    """At minutes, hours and days."""

    inlines = (Users,)
    said = "At minutes, hours and days of a time zone: * is every one, */5 every fifth, 1-5 Monday to Friday."
    list_display = ("human_readable", "minute", "hour", "day_of_month", "month_of_year", "day_of_week", "timezone")


@admin.register(SolarSchedule)
class SolarScheduleAdmin(Rhythm):
    """At sunrise and the like."""

    said = "At sunrise, sunset and the like of a place; markets have calendars of their own."
    list_display = ("__str__", "event", "latitude", "longitude")


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(Rhythm, BaseClockedScheduleAdmin):  # type: ignore[misc] # it has no types
    """Once, at an instant."""

    inlines = (Users,)
    said = "Once, at an instant in UTC; a task that uses it is one-off."
    list_display = (cells.instant("clocked_time"),)
