"""docs/risk.md speaks of every rule and parameter as the classes declare them, and its example works."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from apps.domain.risk import contract
from apps.domain.risk.contract import Rule
from apps.domain.risk.registry import RULES
from tests.domain.risk.world import NOW, facts

TEXT = (Path(__file__).parents[3] / "docs" / "risk.md").read_text()
OURS = [name for name in RULES.names() if RULES.get(name).__module__.startswith("apps.")]


def named() -> set[str]:
    rows = TEXT.partition("## Rules\n")[2].partition("\n## ")[0].splitlines()
    return {row.split("`")[1] for row in rows if row.startswith("| `")}


def bounds(metadata: Any) -> str:
    if "options" in metadata:
        return ", ".join(metadata["options"])
    return f"{metadata['lowest']} to {metadata['highest']}" if "lowest" in metadata else "true, false"


def shown(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_every_rule_is_documented_and_no_other() -> None:
    assert {name for name in named() if "." not in name} == set(OURS)


@pytest.mark.parametrize("name", OURS)
def test_every_parameter_is_documented_with_its_bounds(name: str) -> None:
    declared = fields(RULES.get(name).Parameters)
    assert {each for each in named() if each.startswith(f"{name}.")} == {f"{name}.{item.name}" for item in declared}
    for item in declared:
        assert f"| `{name}.{item.name}` | {shown(item.default)} | {bounds(item.metadata)} |" in TEXT


def test_the_example_is_a_rule() -> None:
    code = TEXT.partition("```python\n")[2].partition("```")[0]
    space: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "docs/risk.md", "exec"), space)
    (plugin,) = [
        each for each in space.values() if isinstance(each, type) and issubclass(each, Rule) and each is not Rule
    ]
    chosen = contract.build(plugin, {"minutes": 5})
    assert not plugin().judge(facts(), chosen).allowed
    assert plugin().judge(replace(facts(), now=NOW.replace(minute=5)), chosen).allowed
