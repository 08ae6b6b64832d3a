"""The parameters of a strategy, the number of its code, and strategies that other packages bring along."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from apps.domain.errors import Refused
from apps.domain.plugins import DuplicatePlugin, PluginError, Registry
from apps.domain.strategies import contract, sources
from apps.domain.strategies.contract import Candles, Several, Stances, Strategy
from apps.domain.strategies.registry import STRATEGIES
from tests.strategies import bars
from tests.strategies.promises import make

GROUP = "tradingsite.strategies"
FOREIGN = """
from dataclasses import dataclass

import numpy as np

from apps.domain.strategies.contract import Strategy, parameter
from {package}.levels import LEVEL


class Foreign(Strategy):
    name = "{name}"

    @dataclass(frozen=True)
    class Parameters:
        level: float = parameter(LEVEL, "Long above.", lowest=0.0, highest=1e6)

    def __init__(self, parameters):
        self.parameters = parameters

    @property
    def warmup(self):
        return 1

    def stances(self, candles):
        return (candles.close > self.parameters.level).astype(np.int8)
"""


class Choosy(Strategy):
    """One parameter of each kind."""

    name = "choosy"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Parameters:
        """All kinds."""

        length: int = contract.parameter(5, "Bars.", lowest=1, highest=9)
        rate: float = contract.parameter(0.5, "Rate.", lowest=0.0, highest=1.0, title="Rate of change")
        price: str = contract.choice("close", "Which price.", options=("open", "close"))
        shorts: bool = contract.switch(True, "Whether to go short.")

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    @property
    def warmup(self) -> int:
        return 1

    def stances(self, candles: Candles) -> Stances:
        return np.zeros(len(candles.at), np.int8)


class Alone(Several):
    """Weighs one market or two."""

    name = "alone"
    most = 2

    @property
    def warmup(self) -> int:
        return 1

    def weigh(self, markets: list[Candles]) -> np.ndarray:
        return np.column_stack([np.sign(market.close - 2.0) / 2 for market in markets])


def test_the_schema_describes_every_kind() -> None:
    found = contract.schema(Choosy)
    assert found["additionalProperties"] is False
    assert (found["title"], found["description"]) == ("choosy", "One parameter of each kind.")
    assert found["properties"] == {
        "length": {
            "type": "integer",
            "minimum": 1,
            "maximum": 9,
            "title": "Length",
            "default": 5,
            "description": "Bars.",
        },
        "rate": {
            "type": "number",
            "minimum": 0.0,
            "maximum": 1.0,
            "title": "Rate of change",
            "default": 0.5,
            "description": "Rate.",
        },
        "price": {
            "type": "string",
            "enum": ["open", "close"],
            "title": "Price",
            "default": "close",
            "description": "Which price.",
        },
        "shorts": {"type": "boolean", "title": "Shorts", "default": True, "description": "Whether to go short."},
    }


@pytest.mark.parametrize(
    ("values", "field"),
    [
        pytest.param({"length": 0}, "length", id="below the bound"),
        pytest.param({"length": 10}, "length", id="above the bound"),
        pytest.param({"length": 2.0}, "length", id="not whole"),
        pytest.param({"length": True}, "length", id="a switch is no number"),
        pytest.param({"length": "5"}, "length", id="a text is no number"),
        pytest.param({"rate": float("nan")}, "rate", id="nan"),
        pytest.param({"rate": None}, "rate", id="nothing"),
        pytest.param({"price": "high"}, "price", id="not on the list"),
        pytest.param({"price": 1}, "price", id="a number is no word"),
        pytest.param({"price": ["close"]}, "price", id="a list is no word"),
        pytest.param({"shorts": 1}, "shorts", id="a number is no switch"),
        pytest.param({"shorts": "yes"}, "shorts", id="a word is no switch"),
        pytest.param({"lenght": 5}, "lenght", id="unknown name"),
    ],
)
def test_wrong_parameters_are_refused_by_name(values: dict[str, object], field: str) -> None:
    with pytest.raises(Refused) as refused:
        contract.build(Choosy, values)
    assert [problem.field for problem in refused.value.problems] == [field]


def test_every_wrong_parameter_is_named_at_once() -> None:
    with pytest.raises(Refused) as refused:
        contract.build(Choosy, {"length": 0, "rate": -1, "price": "?", "shorts": None, "other": 1})
    assert {each.field for each in refused.value.problems} == {"length", "rate", "price", "shorts", "other"}


def test_right_parameters_arrive_as_what_they_are() -> None:
    found = contract.build(Choosy, {"length": 3, "rate": 1, "price": "open", "shorts": False})
    assert isinstance(found, Choosy)
    assert found.parameters == Choosy.Parameters(length=3, rate=1.0, price="open", shorts=False)
    assert isinstance(found.parameters.rate, float)


@pytest.mark.parametrize(
    ("name", "values", "field"),
    [
        ("sma_cross", {"fast": 20, "slow": 20}, "fast"),
        ("ema_cross", {"fast": 30}, "fast"),
        ("macd", {"slow": 5}, "fast"),
        ("rsi_reversion", {"low": 60.0, "high": 40.0}, "low"),
        ("donchian", {"exit": 20}, "exit"),
        ("pairs_spread", {"exit": 3.0}, "exit"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(name: str, values: dict[str, object], field: str) -> None:
    with pytest.raises(Refused) as refused:
        make(name, **values)
    assert [problem.field for problem in refused.value.problems] == [field]


def test_one_that_takes_several_is_content_with_one_where_that_is_enough() -> None:
    candles, alone = bars.of_closes(1, 2, 3), Alone()
    assert alone.stances(candles).tolist() == [-1, 0, 1]
    weights = alone.weights(candles)
    assert weights is not None
    assert weights.tolist() == [-0.5, 0, 0.5]
    with pytest.raises(Refused, match="must be 1 to 2 for alone"):
        alone.weights_of([candles] * 3)
    with pytest.raises(Refused, match="must be exactly 2 for pairs_spread"):
        make("pairs_spread").stances(candles)


def test_by_default_there_are_no_weights_and_no_plan() -> None:
    strategy, candles = make("momentum"), bars.of_closes(1, 2, 3)
    assert strategy.weights(candles) is None
    assert strategy.exit_plan(candles) is None


def test_the_code_has_a_number_that_two_processes_agree_on() -> None:
    told = "from apps.domain.strategies import contract, registry; "
    told += "print(contract.code_hash(registry.STRATEGIES.get('donchian')))"
    other = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=60)
    assert other.stdout.strip() == contract.code_hash(STRATEGIES.get("donchian"))
    found = {contract.code_hash(STRATEGIES.get(name)) for name in STRATEGIES.names()}
    assert len(found) == len(STRATEGIES.names())
    assert all(len(each) == 64 for each in found)


Install = Callable[[str, str], Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Lay out a distribution that offers one strategy, as an installer would."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def lay(package: str, name: str) -> Path:
        folder = tmp_path / package
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        (folder / "levels.py").write_text("LEVEL = 2.0\n")
        (folder / "trend.py").write_text(FOREIGN.format(package=package, name=name))
        record = tmp_path / f"{package}-1.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(f"Name: {package}\nVersion: 1\n")
        (record / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {package}.trend:Foreign\n")
        return folder

    return lay


def fresh() -> Registry[Strategy]:
    return Registry(package="apps.domain.strategies", base=Strategy, group=GROUP)


def test_a_strategy_of_another_package_is_found_and_runs(install: Install) -> None:
    install("foreign_found", "foreign_found")
    registry = fresh()
    assert set(registry.names()) - set(STRATEGIES.names()) == {"foreign_found"}
    strategy = contract.build(registry.get("foreign_found"), {})
    assert strategy.stances(bars.of_closes(1, 2, 3)).tolist() == [0, 0, 1]


def test_two_strategies_of_one_name_are_an_error_that_names_both(install: Install) -> None:
    install("foreign_twin", "momentum")
    with pytest.raises(DuplicatePlugin, match=r"apps\.domain\.strategies\.momentum.*foreign_twin\.trend"):
        fresh().names()


def test_the_number_of_the_code_covers_the_modules_beside_it(install: Install) -> None:
    folder = install("foreign_hash", "foreign_hash")
    plugin = fresh().get("foreign_hash")
    first = contract.code_hash(plugin)
    for path in (folder / "levels.py", folder / "trend.py"):
        path.write_text(path.read_text() + "# changed\n")
        assert contract.code_hash(plugin) == first, "the code that runs is still the old one"
        sources.digest.cache_clear()
        first, before = contract.code_hash(plugin), first
        assert first != before
    (folder / "unrelated.py").write_text("")
    sources.digest.cache_clear()
    assert contract.code_hash(plugin) == first


def test_the_number_of_the_code_covers_what_the_strategies_share() -> None:
    names = sources.modules("apps.domain.strategies.sma_cross")
    assert {"apps.domain.strategies.windows", "apps.domain.strategies.contract", "apps.domain.moving"} <= set(names)
    assert "apps.domain.strategies.momentum" not in names
    assert "apps.domain.strategies.indicators" not in names


def test_code_without_a_source_has_no_number() -> None:
    with pytest.raises(PluginError, match="source"):
        sources.digest("math")
