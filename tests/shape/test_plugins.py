"""Every plug-in that ships is documented, with the parameters, defaults and bounds that its class declares."""

from dataclasses import fields
from typing import Any

import pytest

from apps.domain.plugins import Registry
from apps.domain.risk.registry import RULES
from apps.domain.strategies.registry import STRATEGIES
from apps.market.feeds import FEEDS
from apps.reporting.channels import CHANNELS
from apps.trading.brokers import registry as brokers
from tests.shape import source

DOCUMENT = "docs/plugins.md"


def ours(registry: Registry[Any]) -> list[str]:
    """Return the names of the plug-ins in our own folders: packages of others document their own."""
    found = [name for name in registry.names() if registry.get(name).__module__.startswith("apps.")]
    assert found
    return found


def section(title: str) -> set[str]:
    text = (source.ROOT / DOCUMENT).read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]
    return {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}


def rows() -> set[str]:
    return {line for line in (source.ROOT / DOCUMENT).read_text().splitlines() if line.startswith("| `")}


def test_every_strategy_is_documented_and_no_other() -> None:
    assert {name for name in section("Strategies") if "." not in name} == set(ours(STRATEGIES))


@pytest.mark.parametrize(
    ("title", "registry"), [("Feeds", FEEDS), ("Risk rules", RULES), ("Brokers", brokers), ("Channels", CHANNELS)]
)
def test_every_other_plug_in_is_documented_and_no_other(title: str, registry: Registry[Any]) -> None:
    assert section(title) == set(ours(registry))


def test_every_parameter_is_documented_with_its_bounds() -> None:
    declared: dict[str, Any] = {
        f"{name}.{item.name}": item for name in ours(STRATEGIES) for item in fields(STRATEGIES.get(name).Parameters)
    }
    assert {name for name in section("Strategies") if "." in name} == declared.keys()
    for name, item in declared.items():
        bounds = f"{item.metadata['lowest']} to {item.metadata['highest']}"
        assert any(row.startswith(f"| `{name}` | {item.default} | {bounds} |") for row in rows()), name
