"""The admin's section Strategies: strategies are edited on forms made of their plug-in; signals are only looked at."""

from typing import Any, Final

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget

from apps.access.desk import cells, pages
from apps.access.desk.exchange import Exchanged
from apps.access.desk.past import REASON, AsksWhy
from apps.access.desk.rows import Page, ReadOnlyPage
from apps.domain.plugins import PluginError
from apps.domain.strategies import contract
from apps.domain.strategies.registry import STRATEGIES
from apps.journal import services as journal
from apps.strategies import parameter_forms, selectors
from apps.strategies.models import Signal, Strategy
from apps.strategies.services import stages

STANCES: Final = {1: ("long", "good"), 0: ("flat", "idle"), -1: ("short", "bad")}
STAGES: Final = {
    "draft": "plain",
    "backtested": "busy",
    "paper": "good",
    "live": "good",
    "paused": "warn",
    "retired": "idle",
}
LAST: Final = 10  # signals on a strategy's page
SETTINGS: Final = ("name", "plugin", "bar_seconds", "instruments", "enabled")


class StrategyForm(forms.ModelForm):  # type: ignore[type-arg] # not generic while it runs
    """A strategy's settings; a class of its own per plug-in adds a field for each parameter."""

    of: type[contract.Strategy] | None = None  # the plug-in whose parameters the fields are
    plugin = forms.ChoiceField(widget=UnfoldAdminSelectWidget)

    class Meta:
        model = Strategy
        fields = SETTINGS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.of is not None:
            stored = self.instance.parameters if self.instance.plugin == self.of.name else {}
            self.initial = {**parameter_forms.initial(self.of, stored), **self.initial}
        if "plugin" in self.fields:
            self._offer_plugins()

    def _offer_plugins(self) -> None:
        field = self.fields["plugin"]
        field.choices = [(name, name) for name in STRATEGIES.names()]  # type: ignore[attr-defined]  # a choice field
        if self.of is not None and not self.is_bound:
            self.initial["plugin"] = self.of.name
        # Another plug-in has other parameters: only their part of the page is asked for anew.
        part = {"hx-select": ".parameters", "hx-target": ".parameters", "hx-swap": "outerHTML"}
        field.widget.attrs |= {"hx-get": "", "hx-trigger": "change", **part}

    def clean(self) -> dict[str, Any]:
        """Gather the parameters, and let the plug-in refuse what it does not take."""
        given = super().clean() or {}
        if self.of is not None and "plugin" in self.fields and not self.errors:
            chosen = parameter_forms.values(self.of, given)
            parameter_forms.check(self, self.of, chosen)
            self.instance.parameters = chosen
        return given


@cells.computed("stage", "stage")
def stage(row: Strategy) -> str:
    """Show how far a strategy has come."""
    return cells.tag(row.stage, STAGES.get(row.stage, "plain"))


@cells.computed("stance", "stance")
def stance(row: Signal) -> str:
    """Show a stance as a word, with its weight where there is one."""
    shown = cells.tag(*STANCES.get(row.stance, (str(row.stance), "plain")))
    return shown if row.weight is None else format_html('{} <span class="num">{}</span>', shown, f"{row.weight:.3g}")


@cells.computed("parameters")
def told(row: Strategy) -> str:
    """Show the parameters that differ from the plug-in's defaults."""
    lines = format_html_join("", "<tr><td>{}</td><td>{}</td></tr>", sorted(row.parameters.items()))
    return format_html('<div class="desk"><table class="grid">{}</table></div>', lines or "As the plug-in has them.")


@cells.computed("last signals")
def last_signals(row: Strategy) -> str:
    """Show what the strategy wanted lately."""
    found = Signal.objects.filter(strategy=row).select_related("instrument").order_by("-id")[:LAST] if row.pk else []
    lines = [(cells.at(one.bar_at), str(one.instrument), stance(one), one.reason) for one in found]
    if not lines:
        return "None yet: it is asked once it is enabled and its stage is paper or live."
    rows = format_html_join("", '<tr><td>{}</td><td>{}</td><td>{}</td><td class="muted">{}</td></tr>', lines)
    everything = f"{reverse('admin:strategies_signal_changelist')}?strategy__id__exact={row.pk}"
    return format_html(
        '<div class="desk"><table class="grid"><tbody>{}</tbody></table><a class="ref" href="{}">All</a></div>',
        rows,
        everything,
    )


@admin.register(Strategy)
class StrategyAdmin(Exchanged, AsksWhy, Page):
    """Which strategies run, on what, with which parameters, and how far each has come."""

    form = StrategyForm
    list_display = ("name", "plugin", stage, "bar_seconds", "enabled")
    list_filter = ("stage", "enabled", "plugin")
    search_fields = ("name",)
    autocomplete_fields = ("instruments",)
    readonly_fields = (stage, told, last_signals)
    actions_detail = ("see_stage", "run_backtest")
    sheet = ("name", "plugin", "bar_seconds", "instruments", "enabled", "parameters")
    sheet_key = ("name",)
    why_required = False  # the gate asks for evidence, and for a reason, where a change matters

    class Media:
        js = ("strategies/parameters.js",)

    def sheet_cells(self, row: Strategy) -> dict[str, str]:
        """Show every parameter, defaults included."""
        return {**super().sheet_cells(row), "parameters": parameter_forms.told(STRATEGIES, row.plugin, row.parameters)}

    def get_fieldsets(self, request: HttpRequest, obj: Strategy | None = None) -> Any:
        """Give the parameters a part of their own, which follows the plug-in that is chosen."""
        if obj is not None and not self.has_change_permission(request, obj):
            return [
                (None, {"fields": (stage, *SETTINGS)}),
                _told("Parameters", told),
                _told("Last signals", last_signals),
            ]
        plugin = _plugin(request, obj)
        names = tuple(parameter_forms.fields(plugin)) if plugin is not None else ()
        said = contract.schema(plugin)["description"] if plugin is not None else "This plug-in is not installed."
        parameters = ("Parameters", {"fields": names, "classes": ("parameters",), "description": said})
        if obj is None:
            return [(None, {"fields": SETTINGS}), parameters]
        why = self.why(request, obj)
        return [(None, {"fields": (stage, *SETTINGS)}), parameters, *why, _told("Last signals", last_signals)]

    def get_form(self, request: HttpRequest, obj: Strategy | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Add the fields of the plug-in's parameters to the form."""
        plugin = _plugin(request, obj)
        more: dict[str, Any] = {} if plugin is None else dict(parameter_forms.fields(plugin))
        kwargs["form"] = type("PluginForm", (StrategyForm,), {**more, "of": plugin})
        return super().get_form(request, obj, change, **kwargs)

    def save_model(self, request: HttpRequest, obj: Strategy, form: Any, change: bool) -> None:
        """Save what was changed and nothing else, for the stage belongs to services; say who did it."""
        changed = [name for name in form.changed_data if name in ("name", "plugin", "bar_seconds", "enabled")]
        with transaction.atomic():
            if change:
                obj.save(update_fields=[*changed, "parameters", *(["failures"] if _restarts(obj, changed) else [])])
            else:
                obj.save()
            stages.void_if_changed(obj, actor=pages.actor(request))
            changes = {name: str(form.cleaned_data.get(name)) for name in form.changed_data if name != REASON}
            kind = "strategy.changed" if change else "strategy.added"
            payload = {"strategy": obj.name, "changes": changes}
            journal.record(kind, selectors.subject(obj.pk), actor=pages.actor(request), payload=payload)

    @action(description="Stage", icon="stairs", url_path="see-stage", permissions=["view"])  # type: ignore[untyped-decorator]  # Unfold has no types
    def see_stage(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the gate, which knows the evidence."""
        return HttpResponseRedirect(reverse("admin:backtests_gate", args=[object_id]))

    @action(description="Run a backtest", icon="query_stats", url_path="run-backtest", permissions=["view"])  # type: ignore[untyped-decorator]  # Unfold has no types
    def run_backtest(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Lead to the form for a run."""
        return HttpResponseRedirect(f"{reverse('admin:backtests_run_add')}?strategy={object_id}")


@cells.computed("decisions")
def decisions(row: Signal) -> str:
    """Link to what accounts made of it, and why."""
    address = f"{reverse('admin:trading_decision_changelist')}?signal__id__exact={row.pk}"
    return format_html('<a class="ref" href="{}">Why and why not</a>', address)


class StanceFilter(admin.SimpleListFilter):
    """Filters signals by what they want; the three are known, so that the long table need not be asked for them."""

    title = parameter_name = "stance"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the three stances."""
        del request, model_admin
        return [("1", "long"), ("0", "flat"), ("-1", "short")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Signal]) -> QuerySet[Signal]:
        """Keep the signals of the chosen stance; a word that is none keeps all."""
        del request
        return queryset.filter(stance=int(chosen)) if (chosen := self.value()) in ("1", "0", "-1") else queryset


@admin.register(Signal)
class SignalAdmin(ReadOnlyPage):
    """What strategies wanted after each bar."""

    list_display = (
        "id",
        cells.linked("strategy"),
        cells.linked("instrument"),
        stance,
        cells.number("price"),
        "reason",
        cells.instant("bar_at", "bar"),
        cells.instant("made_at"),
    )
    shown = (*list_display, decisions, cells.facts("plan"), cells.facts("parameters"), "version")
    list_filter = (StanceFilter, "strategy")
    search_fields = ("strategy__name", "instrument__symbol")
    list_select_related = ("strategy", "instrument")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Signal]:
        """Newest first; signals belong to no account."""
        rows: QuerySet[Signal] = super().get_queryset(request)
        return rows.order_by("-id")


def _told(title: str, cell: Any) -> tuple[str, dict[str, Any]]:
    return title, {"fields": (cell,)}


def _plugin(request: HttpRequest, obj: Strategy | None) -> type[contract.Strategy] | None:
    """Return the plug-in whose parameters the page is to show: the one chosen on it, else the strategy's own."""
    known = STRATEGIES.names()
    stored = obj.plugin if obj is not None else next(iter(known), "")
    asked = request.POST.get("plugin") or request.GET.get("plugin") or stored
    for name in (asked, stored):
        try:
            return STRATEGIES.get(name)
        except PluginError:
            continue
    return None


def _restarts(obj: Strategy, changed: list[str]) -> bool:
    """Say whether a strategy was switched on, which gives it all its tries anew."""
    if "enabled" not in changed or not obj.enabled:
        return False
    obj.failures = 0
    return True
