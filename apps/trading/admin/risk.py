"""Risk limits and the profiles that bundle them: settings, edited on forms made of the rules."""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from apps.access.desk import cells, pages, sheets
from apps.access.desk.exchange import Exchanged
from apps.access.desk.past import AsksWhy
from apps.access.desk.rows import Page, Table
from apps.domain.restrictions import Scope
from apps.domain.risk import contract
from apps.domain.risk.registry import RULES
from apps.domain.risk.words import Action
from apps.journal import services as journal
from apps.strategies import parameter_forms
from apps.trading import selectors
from apps.trading.admin import places
from apps.trading.admin.limits import SETTINGS, LimitForm, rule_of
from apps.trading.models import RiskLimit, RiskProfile

TONES = {Action.REFUSE: "plain", Action.BLOCK: "warn", Action.REDUCE: "warn", Action.FLATTEN: "bad"}


@cells.computed("rule", "rule")
def rule(row: RiskLimit) -> str:
    """Name the rule for reading."""
    return format_html('<span class="word">{}</span>', row.rule.replace("_", " "))


@cells.computed("where", "scope")
def where(row: RiskLimit) -> str:
    """Name where it applies."""
    return places.name(row)


@cells.computed("on a breach", "action")
def action(row: RiskLimit) -> str:
    """Show what a breach leads to."""
    return cells.tag(row.action, TONES.get(Action(row.action), "plain"))


@cells.computed("limit")
def told(row: RiskLimit) -> str:
    """Show the parameters as they count, defaults included."""
    plugin = rule_of(row.rule)
    if plugin is None:
        return cells.tag("rule not installed: entries are refused", "bad")
    values = {name: item["default"] for name, item in contract.schema(plugin)["properties"].items()} | row.parameters
    words = format_html_join(", ", '{} <span class="num">{}</span>', [(name, _plain(v)) for name, v in values.items()])
    return words or cells.NOTHING


class NamedLimits(BaseInlineFormSet):  # type: ignore[type-arg] # not generic while it runs
    """Limits that know the names of their places, read at once."""

    def get_queryset(self) -> QuerySet[RiskLimit]:
        """Return the limits with their names."""
        rows: QuerySet[RiskLimit] = super().get_queryset()
        if not any(hasattr(row, "place") for row in rows):
            places.name_all(rows)
        return rows


class LimitsOfProfile(Table):
    """The limits of a profile; each is edited on its own page, where its rule's parameters are fields."""

    model = RiskLimit
    formset = NamedLimits
    fields = (rule, told, where, action, "enabled")
    readonly_fields = (rule, told, where, action)
    verbose_name_plural = "Limits"
    show_change_link = True
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Limits are added on their own page."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[RiskLimit]:
        """Leave out what concerns one account of somebody else."""
        rows: QuerySet[RiskLimit] = _seen(super().get_queryset(request), request)
        return rows


@cells.computed("")
def more(row: RiskProfile) -> str:
    """Link to the form of a new limit in this profile."""
    if not row.pk:
        return "Save the profile first, then add limits to it."
    return format_html('<a class="ref" href="{}?profile={}">Add a limit</a>', reverse(ADD), row.pk)


ADD = "admin:trading_risklimit_add"


@admin.register(RiskProfile)
class RiskProfileAdmin(AsksWhy, Page):
    """Named sets of limits; an account has one or none, chosen on the account's page."""

    list_display = ("name", "description", "limit_count", "account_count")
    search_fields = ("name",)
    fields = ("name", "description", more)
    readonly_fields = (more,)
    inlines = (LimitsOfProfile,)

    def get_fieldsets(self, request: HttpRequest, obj: RiskProfile | None = None) -> Any:
        """Ask why it is changed."""
        return [(None, {"fields": self.fields}), *self.why(request, obj)]

    def get_queryset(self, request: HttpRequest) -> QuerySet[RiskProfile]:
        """Count with the list."""
        mine = Q() if selectors.sees_all(request.user) else Q(accounts__in=selectors.for_user(request.user))
        rows: QuerySet[RiskProfile] = super().get_queryset(request)
        counts = {"limits_in": Count("limits", distinct=True), "used_by": Count("accounts", filter=mine, distinct=True)}
        return rows.annotate(**counts)

    @admin.display(description="limits")
    def limit_count(self, row: Any) -> int:
        """Show how many limits it has."""
        return int(row.limits_in)

    @admin.display(description="accounts")
    def account_count(self, row: Any) -> int:
        """Show how many accounts of the person have it."""
        return int(row.used_by)

    def save_model(self, request: HttpRequest, obj: RiskProfile, form: Any, change: bool) -> None:
        """Save it and write down who did."""
        with transaction.atomic():
            obj.save()
            _record(request, "risk.profile_saved", f"riskprofile:{obj.pk}", {"name": obj.name})

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Save which limits are switched on, and write down who did it."""
        with transaction.atomic():
            for limit in formset.save():
                _record(request, "risk.limit_changed", _subject(limit), _facts(limit))

    def delete_model(self, request: HttpRequest, obj: RiskProfile) -> None:
        """Delete it with its limits, and write down who did."""
        with transaction.atomic():
            _record(request, "risk.profile_deleted", f"riskprofile:{obj.pk}", {"name": obj.name})
            obj.delete()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[RiskProfile]) -> None:
        """Delete several the same way."""
        for row in queryset:
            self.delete_model(request, row)


@admin.register(RiskLimit)
class RiskLimitAdmin(Exchanged, AsksWhy, Page):
    """Which rule limits what, where, and what a breach leads to."""

    form = LimitForm
    list_display = (rule, told, where, cells.linked("profile"), action, "enabled")
    list_display_links = (rule,)
    list_filter = ("enabled", "scope", "action", "profile", "rule")
    search_fields = ("rule", "note")
    list_select_related = ("profile",)
    sheet = ("rule", "where", "profile", "action", "enabled", "note", "parameters")
    sheet_key = ("rule", "where", "profile")

    class Media:
        js = ("strategies/parameters.js",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RiskLimit]:
        """Leave out what concerns one account of somebody else."""
        rows: QuerySet[RiskLimit] = _seen(super().get_queryset(request), request)
        return rows

    def sheet_rows(self, request: HttpRequest) -> list[RiskLimit]:
        """Read the names of all places at once."""
        rows = list(super().sheet_rows(request))
        places.name_all(rows)
        return rows

    def sheet_cells(self, row: RiskLimit) -> dict[str, str]:
        """Name the place, and show every parameter, defaults included."""
        return {
            **sheets.shown(row, (name for name in self.sheet if name not in ("where", "parameters"))),
            "where": places.name(row),
            "parameters": parameter_forms.told(RULES, row.rule, row.parameters),
        }

    def sheet_given(self, cells: dict[str, str]) -> dict[str, str]:
        """Take the site by its name: the form has a longer one for it."""
        return {**cells, "where": places.SITE} if cells.get("where") == places.WHOLE else cells

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Read the names of all places on the page at once."""
        page = super().get_changelist_instance(request)
        places.name_all(page.result_list)
        return page

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Begin with what the address says: a profile, a place."""
        asked = request.GET.get("profile", "")
        return {"profile": asked if asked.isdecimal() else None, "where": request.GET.get("where", places.SITE)}

    def get_fieldsets(self, request: HttpRequest, obj: RiskLimit | None = None) -> Any:
        """Give the parameters a part of their own, which follows the rule that is chosen."""
        if obj is not None and not self.has_change_permission(request, obj):
            return [(None, {"fields": (rule, told, where, "profile", action, "enabled", "note")})]
        plugin = _rule(request, obj)
        names = tuple(parameter_forms.fields(plugin)) if plugin is not None else ()
        said = contract.schema(plugin)["description"] if plugin is not None else "This rule is not installed."
        parameters = ("Limit", {"fields": names, "classes": ("parameters",), "description": said})
        place = (None, {"fields": SETTINGS[1:]})
        return [(None, {"fields": SETTINGS[:1]}), parameters, place, *self.why(request, obj)]

    def get_readonly_fields(self, request: HttpRequest, obj: RiskLimit | None = None) -> Any:
        """Show cells to those who may only look."""
        return (rule, told, where, action) if obj and not self.has_change_permission(request, obj) else ()

    def get_form(self, request: HttpRequest, obj: RiskLimit | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Add the fields of the rule's parameters to the form."""
        plugin = _rule(request, obj)
        more: dict[str, Any] = {} if plugin is None else dict(parameter_forms.fields(plugin))
        kwargs["form"] = type("RuleForm", (LimitForm,), {**more, "of": plugin, "user": request.user})
        return super().get_form(request, obj, change, **kwargs)

    def save_model(self, request: HttpRequest, obj: RiskLimit, form: Any, change: bool) -> None:
        """Save it and write down who did, and what."""
        kind = "risk.limit_changed" if change else "risk.limit_added"
        with transaction.atomic():
            obj.save()
            _record(request, kind, _subject(obj), _facts(obj))

    def delete_model(self, request: HttpRequest, obj: RiskLimit) -> None:
        """Delete it and write down who did; its violations stay."""
        with transaction.atomic():
            _record(request, "risk.limit_deleted", _subject(obj), _facts(obj))
            obj.delete()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[RiskLimit]) -> None:
        """Delete several the same way."""
        for row in queryset:
            self.delete_model(request, row)


def _seen(rows: QuerySet[RiskLimit], request: HttpRequest) -> QuerySet[RiskLimit]:
    if selectors.sees_all(request.user):
        return rows
    mine = Q(scope=Scope.ACCOUNT, target__in=selectors.for_user(request.user).values("pk"))
    return rows.filter(~Q(scope=Scope.ACCOUNT) | mine)


def _rule(request: HttpRequest, obj: RiskLimit | None) -> Any:
    """Return the rule whose parameters the page is to show: the one chosen on it, else the limit's own."""
    stored = obj.rule if obj is not None else next(iter(RULES.names()), "")
    asked = request.POST.get("rule") or request.GET.get("rule") or stored
    return rule_of(asked) or rule_of(stored)


def _plain(value: Any) -> str:
    return f"{value:,.10g}" if isinstance(value, float) else str(value)


def _subject(row: RiskLimit) -> str:
    return f"risklimit:{row.pk}"


def _facts(row: RiskLimit) -> dict[str, Any]:
    names = ("rule", "scope", "target", "parameters", "action", "enabled", "note")
    return {**{name: getattr(row, name) for name in names}, "profile": row.profile_id}


def _record(request: HttpRequest, kind: str, subject: str, payload: dict[str, Any]) -> None:
    journal.record(kind, subject, actor=pages.actor(request), payload=payload)
