"""`manage.py lookahead`: status 1 and a name for what leaks, status 0 for what is shipped."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.domain.strategies.registry import STRATEGIES
from apps.market import selectors as market
from apps.market import store
from apps.market.store import Timeframe, candles, partitions
from apps.market.store.candles import CandleRow
from tests import factories
from tests.backtests.wandering import write_walk

LEAKING = """
import numpy as np
from dataclasses import dataclass
from apps.domain.strategies.contract import ExitPlan, Several, Strategy

class Base(Strategy):
    @dataclass(frozen=True)
    class Parameters:
        pass

    def __init__(self, parameters):
        self.parameters = parameters

    warmup = 5

    def late(self, found):
        found[:4] = 0
        return found.astype(np.int8)

class Tomorrow(Base):
    name = "tomorrow"

    def stances(self, candles):
        return self.late((np.append(candles.close[1:], 0.0) > candles.close) * 1)

class Busy(Base):
    name = "busy"

    def stances(self, candles):
        return self.late((candles.volume > candles.volume.mean()) * 1)

class Planner(Base):
    name = "planner"

    def stances(self, candles):
        return self.late((candles.close > candles.open) * 1)

    def exit_plan(self, candles):
        lowest = np.minimum(candles.low, np.append(candles.low[1:], np.inf))
        nothing = np.full(len(lowest), np.nan)
        return ExitPlan(lowest * 0.99, nothing, nothing)

class Forgetful(Base):
    name = "forgetful"
    warmup = 3

    def stances(self, candles):
        found = np.zeros(len(candles.close))
        found[4:] = np.sign(candles.close[4:] - candles.close[:-4])
        return found.astype(np.int8)

class Crashing(Base):
    name = "crashing"

    def stances(self, candles):
        return candles.close / [][0]
"""
CLASSES = ("Tomorrow", "Busy", "Planner", "Forgetful", "Crashing")


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a package of strategies that leak."""
    (tmp_path / "leaking_strategies.py").write_text(LEAKING)
    folder = tmp_path / "leaking_strategies-1.dist-info"
    folder.mkdir()
    offers = "".join(f"{name.lower()} = leaking_strategies:{name}\n" for name in CLASSES)
    (folder / "entry_points.txt").write_text(f"[tradingsite.strategies]\n{offers}")
    (folder / "METADATA").write_text("Name: leaking_strategies\nVersion: 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    vars(STRATEGIES).pop("_found", None)
    yield
    vars(STRATEGIES).pop("_found", None)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return write_walk(tmp_path / "walk.csv", bars=300)


def lookahead(*words: str) -> tuple[int, dict[str, Any]]:
    out, status = StringIO(), 0
    try:
        call_command("lookahead", *words, "--json", stdout=out)
    except SystemExit as end:
        status = int(str(end.code))
    return status, json.loads(out.getvalue())


def test_what_looks_back_only_ends_with_0(file: str) -> None:
    status, told = lookahead("sma_cross", "--candles", file, "--param", "fast=5", "--param", "slow=15")
    assert (status, told["clean"], told["leaks"]) == (0, True, [])
    assert (told["bars"], told["warmup"], told["outputs"]) == (300, 15, ["stance"])
    out = StringIO()
    call_command("lookahead", "sma_cross", "--candles", file, stdout=out)
    assert "looks back only" in out.getvalue()


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(
    ("strategy", "output", "inputs"),
    [
        ("tomorrow", "stance", ["close"]),
        ("busy", "stance", ["volume"]),
        ("planner", "stop_loss", ["low"]),
    ],
)
def test_a_planted_leak_ends_with_1_and_is_named(file: str, strategy: str, output: str, inputs: list[str]) -> None:
    status, told = lookahead(strategy, "--candles", file)
    (leak,) = told["leaks"]
    assert (status, told["clean"]) == (1, False)
    assert (leak["kind"], leak["output"], leak["inputs"], leak["bar"]) == ("look-ahead", output, inputs, 4)
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("lookahead", strategy, "--candles", file, stdout=out)
    assert (
        f"look-ahead: {output} of bar 4 (2026-01-01T04:00:00Z) depends on later values of {inputs[0]}" in out.getvalue()
    )
    assert "LEAKS" in out.getvalue()


@pytest.mark.usefixtures("planted")
def test_a_warm_up_that_is_too_short_is_named(file: str) -> None:
    status, told = lookahead("forgetful", "--candles", file)
    (leak,) = told["leaks"]
    assert (status, leak["kind"], leak["needs"], leak["bar"]) == (1, "warm-up", 5, 4)


@pytest.mark.usefixtures("planted")
def test_only_the_last_bars_are_looked_at_and_bars_keep_their_numbers(file: str) -> None:
    status, told = lookahead("busy", "--candles", file, "--bars", "100")
    assert (status, told["bars"]) == (1, 100)
    assert told["leaks"][0]["bar"] >= 200


@pytest.mark.usefixtures("planted")
def test_several_instruments_may_be_looked_at(tmp_path: Path, file: str) -> None:
    other = write_walk(tmp_path / "other.csv", bars=300, seed=2)
    status, told = lookahead("pairs_spread", "--candles", file, "--candles", other)
    assert (status, told["outputs"]) == (0, ["weight walk", "weight other"])


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nobody",), "is no strategy"),
        (("sma_cross", "--param", "fast=99"), "fast"),
        (("sma_cross", "--bars", "1"), "bars: 1"),
        (("sma_cross", "--param", "fast=5", "--param", "slow=299", "--until", "2026-01-02"), "more than the warm-up"),
        (("sma_cross", "--detail", "x.csv"), "no strategy sees finer candles"),
        (("crashing",), "crashing: IndexError"),
    ],
)
def test_what_is_wrong_is_told_with_status_2(file: str, words: tuple[str, ...], says: str) -> None:
    with pytest.raises(CommandError, match=says) as refused:
        call_command("lookahead", *words, "--candles", file)
    assert refused.value.returncode == 2


@pytest.mark.django_db(transaction=True)
def test_stored_candles_are_looked_at_the_latest_ones(tick_store: store.Store) -> None:
    market.market_store.cache_clear()
    instrument = factories.make_instrument("LOOK-USD")
    start = datetime(2026, 1, 5, tzinfo=UTC)
    partitions.ensure(tick_store, partitions.CANDLES[Timeframe.MINUTE], start, datetime(2026, 1, 6, tzinfo=UTC))
    rows = [_row(instrument.pk, start, minute) for minute in range(600)]
    candles.write(tick_store, Timeframe.MINUTE, rows)
    try:
        status, told = lookahead(
            "momentum", "--instrument", "LOOK-USD", "--timeframe", "1m", "--until", "2026-01-05T09:00", "--bars", "200"
        )
        assert (status, told["bars"], told["warmup"]) == (0, 200, 11)
        assert told["data"]["last_bar"] == "2026-01-05T08:59:00Z"
        assert told["data"]["bars"] < 540, "what is not looked at is not read"
    finally:
        with tick_store.engine.begin() as link:
            link.exec_driver_sql("TRUNCATE market.candles")
        market.market_store().close()
        market.market_store.cache_clear()


def _row(instrument_id: int, start: datetime, minute: int) -> CandleRow:
    at = datetime.fromtimestamp(start.timestamp() + 60 * minute, UTC)
    price = str(100 + minute % 17)
    return CandleRow(instrument_id, at, price, price, price, price, "1")
