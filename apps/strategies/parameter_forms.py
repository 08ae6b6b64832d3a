"""Forms made of a plug-in's own schema: one field per parameter, with its help, its bounds and its default."""

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Protocol

from django import forms
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldBooleanSwitchWidget,
)

from apps.domain.errors import Refused
from apps.domain.strategies import contract, parameters

PREFIX: Final = "parameter_"


class Plugin(Protocol):
    """Whatever has parameters that describe themselves: a strategy, a risk rule."""

    Parameters: ClassVar[type[parameters.Parameters]]


def fields(plugin: type[Plugin]) -> dict[str, forms.Field]:
    """Return a form field for each parameter of a plug-in, by the name the form knows it by."""
    properties = parameters.properties(plugin.Parameters)
    return {PREFIX + name: _field(item) for name, item in properties.items()}


def initial(plugin: type[Plugin], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the fields show at first: the values given, and defaults for the others."""
    properties = parameters.properties(plugin.Parameters)
    return {PREFIX + name: values.get(name, item["default"]) for name, item in properties.items()}


def told(registry: Any, name: str, stored: Mapping[str, Any]) -> str:
    """Return the parameters of a row as JSON: all of them, or those stored where the plug-in is not installed."""
    usual: dict[str, Any] = {}
    if name in registry.names():
        usual = {key: item["default"] for key, item in parameters.properties(registry.get(name).Parameters).items()}
    return json.dumps({**usual, **stored}, sort_keys=True)


def values(plugin: type[Plugin], cleaned: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a form holds, those that differ from the plug-in's defaults."""
    properties = parameters.properties(plugin.Parameters)
    given = {name: cleaned.get(PREFIX + name) for name in properties}
    return {name: value for name, value in given.items() if value is not None and value != properties[name]["default"]}


def check(
    form: forms.BaseForm,
    plugin: type[Any],
    chosen: Mapping[str, Any],
    build: Callable[[Any, Mapping[str, Any]], object] = contract.build,
) -> None:
    """Let the plug-in refuse what does not go together; each problem comes back beside its field."""
    try:
        build(plugin, chosen)
    except Refused as refused:
        for problem in refused.problems:
            name = PREFIX + problem.field
            text = f"{problem.value} {problem.rule}; {problem.remedy}."
            form.add_error(name if name in form.fields else None, text)


def _field(item: Mapping[str, Any]) -> forms.Field:
    shared: dict[str, Any] = {"label": item["title"], "help_text": _help(item)}
    if item["type"] == "boolean":
        return forms.BooleanField(**shared, required=False, widget=UnfoldBooleanSwitchWidget)
    if "enum" in item:
        choices = [(word, word) for word in item["enum"]]
        return forms.ChoiceField(**shared, choices=choices, widget=UnfoldAdminSelectWidget)
    bounds = {"min_value": item["minimum"], "max_value": item["maximum"]}
    if item["type"] == "integer":
        return forms.IntegerField(**shared, **bounds, widget=UnfoldAdminIntegerFieldWidget(attrs={"step": 1}))
    return forms.FloatField(**shared, **bounds, widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any"}))


def _help(item: Mapping[str, Any]) -> str:
    said = [item["description"].rstrip(".") + "."]
    if "minimum" in item:
        said.append(f"{item['minimum']:,.15g} to {item['maximum']:,.15g}.")
    if item["type"] != "boolean":
        usual = item["default"]
        said.append(f"Usually {usual if isinstance(usual, str) else format(usual, ',.15g')}.")
    return " ".join(said)


__all__ = ["PREFIX", "check", "fields", "initial", "told", "values"]
