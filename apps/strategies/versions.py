"""Which version of itself is a strategy now: its code, every parameter with its value, the length of its bars."""

from collections.abc import Mapping
from typing import Any

from apps.domain.backtests.gate import Version
from apps.domain.strategies import contract
from apps.domain.strategies.registry import STRATEGIES


def complete(plugin: type[contract.Strategy], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return every parameter with its value: those given, defaults for the others."""
    properties = contract.schema(plugin)["properties"]
    return {name: values.get(name, item["default"]) for name, item in properties.items()}


def of(plugin: str, parameters: Mapping[str, Any], bar_seconds: int) -> Version:
    """Return the version that these settings are with the code as installed. Raises PluginError, Refused."""
    found = STRATEGIES.get(plugin)
    contract.build(found, parameters)
    return Version(
        plugin=plugin,
        code_hash=contract.code_hash(found),
        parameters=complete(found, parameters),
        bar_seconds=bar_seconds,
    )
