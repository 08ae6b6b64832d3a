"""Routes and habits: which events go where, and when a person wants quiet."""

import re
from typing import Any, Final
from zoneinfo import available_timezones

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.access.desk import cells
from apps.access.desk.exchange import Exchanged
from apps.access.desk.rows import Page
from apps.reporting import selectors
from apps.reporting.models import Habit, Route
from apps.reporting.services import routing
from apps.trading import selectors as trading

_PATTERN: Final = re.compile(r"[a-z_*]+(\.[a-z_*]+)?")


class RouteForm(forms.ModelForm):  # type: ignore[type-arg] # not generic while it runs
    """A route whose patterns and account make sense."""

    class Meta:
        model = Route
        fields = (
            "name",
            "enabled",
            "channel",
            "person",
            "kinds",
            "severity",
            "account_id",
            "digest",
            "repeat_seconds",
        )

    def clean_kinds(self) -> str:
        """Return the patterns as they are kept."""
        found = routing.patterns(self.cleaned_data["kinds"])
        wrong = [word for word in found if not _PATTERN.fullmatch(word)]
        if wrong or not found:
            raise ValidationError(
                f"{', '.join(wrong) or 'nothing'} is no kind of event; write position.* or exit.failed."
            )
        return ", ".join(found)


@admin.register(Route)
class RouteAdmin(Exchanged, Page):
    """Each person sees and keeps the routes that deliver to them; a superuser all."""

    form = RouteForm
    list_display = ("name", "kinds", "severity", "channel", cells.text("person"), "account_id", "digest", "enabled")
    list_filter = ("enabled", "channel", "digest")
    list_select_related = ("channel", "person")
    search_fields = ("name", "kinds")
    sheet = (
        *("name", "enabled", "channel", "person", "kinds", "severity", "account_id", "digest"),
        "repeat_seconds",
    )
    sheet_key = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        """Show a person their own routes."""
        return selectors.own(super().get_queryset(request), request.user, person_id=request.user.pk)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer a person themselves and their own channels: a route shows what its person may see."""
        rows = db_field.remote_field.model._default_manager.all()
        path = {"pk": request.user.pk} if db_field.name == "person" else {"owner_id": request.user.pk}
        kwargs["queryset"] = rows if trading.sees_all(request.user) else rows.filter(**path)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Route | None = None) -> bool:
        """A route that delivered something is switched off instead: the log of deliveries names it."""
        return super().has_delete_permission(request, obj) and not (obj and obj.deliveries.exists())


class HabitForm(forms.ModelForm):  # type: ignore[type-arg] # not generic while it runs
    """Habits in a time zone that exists."""

    class Meta:
        model = Habit
        fields = ("person", "time_zone", "quiet_from", "quiet_until", "digest_at")

    def clean_time_zone(self) -> str:
        """Return the name of a time zone."""
        name: str = self.cleaned_data["time_zone"]
        if name not in available_timezones():
            raise ValidationError(f"{name} is no time zone; write it like Europe/Berlin.")
        return name

    def clean(self) -> dict[str, Any]:
        """Quiet has a beginning and an end."""
        found = super().clean() or {}
        if (found.get("quiet_from") is None) != (found.get("quiet_until") is None):
            self.add_error("quiet_until", "Quiet hours need a beginning and an end.")
        return found


@admin.register(Habit)
class HabitAdmin(Page):
    """When people want quiet, and their digest."""

    form = HabitForm
    list_display = (cells.text("person"), "time_zone", "quiet_from", "quiet_until", "digest_at")
    list_select_related = ("person",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Habit]:
        """Show a person their own habits."""
        return selectors.own(super().get_queryset(request), request.user, person_id=request.user.pk)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer a person themselves."""
        if not trading.sees_all(request.user):
            kwargs["queryset"] = db_field.remote_field.model._default_manager.filter(pk=request.user.pk)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)
