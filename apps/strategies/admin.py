"""The admin's section Strategies: strategies are edited and checked by their plug-in; signals are only looked at."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminSelectWidget

from apps.access.desk import cells
from apps.access.desk.rows import Page, ReadOnlyPage
from apps.domain.errors import Refused
from apps.domain.plugins import PluginError
from apps.domain.strategies import contract
from apps.domain.strategies.registry import STRATEGIES
from apps.strategies.models import Signal, Strategy

STANCES = {1: ("long", "good"), 0: ("flat", "idle"), -1: ("short", "bad")}


class StrategyForm(forms.ModelForm):  # type: ignore[type-arg] # not generic while it runs
    """A strategy's settings; the plug-in itself judges its parameters."""

    plugin = forms.ChoiceField(widget=UnfoldAdminSelectWidget, help_text="What it does.")

    class Meta:
        model = Strategy
        fields = ("name", "plugin", "parameters", "bar_seconds", "instruments", "enabled")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "plugin" in self.fields:
            names = [(name, name) for name in STRATEGIES.names()]
            self.fields["plugin"].choices = names  # type: ignore[attr-defined]  # a choice field
        if "parameters" in self.fields:
            self.fields["parameters"].help_text = _described()

    def clean(self) -> dict[str, Any]:
        """Let the plug-in refuse what it does not take."""
        given = super().clean() or {}
        plugin, values = given.get("plugin"), given.get("parameters")
        if plugin and isinstance(values or {}, dict):
            self._try(plugin, values or {})
        elif plugin:
            self.add_error("parameters", 'must be an object like {"fast": 10}.')
        given["parameters"] = values or {}
        return given

    def _try(self, plugin: str, values: dict[str, Any]) -> None:
        try:
            contract.build(STRATEGIES.get(plugin), values)
        except PluginError as error:
            self.add_error("plugin", str(error))
        except Refused as refused:
            for problem in refused.problems:
                self.add_error("parameters", f"{problem.field}: {problem.value} {problem.rule}; {problem.remedy}.")


def _described() -> str:
    """Return what every plug-in takes, one line each."""
    lines = []
    for name in STRATEGIES.names():
        properties = contract.schema(STRATEGIES.get(name))["properties"]
        takes = ", ".join(f"{key} ({item['default']})" for key, item in properties.items())
        lines.append(f"{name}: {takes or 'nothing'}")
    return "What differs from the defaults, as JSON. " + " · ".join(lines)


@admin.register(Strategy)
class StrategyAdmin(Page):
    """Which strategies run, on what, and with which parameters."""

    form = StrategyForm
    list_display = ("name", "plugin", "bar_seconds", "enabled")
    list_filter = ("enabled", "plugin")
    search_fields = ("name",)
    filter_horizontal = ("instruments",)


@cells.computed("stance", "stance")
def stance(row: Signal) -> str:
    """Show a stance as a word."""
    return cells.tag(*STANCES.get(row.stance, (str(row.stance), "plain")))


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
    list_filter = ("stance", "strategy")
    search_fields = ("strategy__name", "instrument__symbol")
    list_select_related = ("strategy", "instrument")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Signal]:
        """Newest first; signals belong to no account."""
        rows: QuerySet[Signal] = super().get_queryset(request)
        return rows.order_by("-id")
