"""Strategies on closed bars: one signal per bar however often asked, and a failing one hurts nobody else."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from apps.domain.strategies.registry import STRATEGIES
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.strategies import services
from apps.strategies.models import Signal, Strategy
from tests.strategies.conftest import NOW, make_instrument, make_strategy

Trade = Callable[..., None]


def test_a_closed_bar_gives_one_signal(instrument: Instrument, strategy: Strategy, trade: Trade) -> None:
    trade(instrument, 100, 101, 102)
    ids = services.run_due(NOW)
    signal = Signal.objects.get()
    assert ids == [signal.pk]
    assert (signal.stance, signal.price, signal.made_at) == (1, 102, NOW)
    assert signal.bar_at.isoformat() == "2026-01-05T12:00:20+00:00"


def test_asking_again_makes_no_second_signal(instrument: Instrument, strategy: Strategy, trade: Trade) -> None:
    trade(instrument, 100, 101, 102)
    services.run_due(NOW)
    assert services.run_due(NOW + timedelta(seconds=3)) == []
    assert Signal.objects.count() == 1


def test_many_at_once_make_one_signal(instrument: Instrument, strategy: Strategy, trade: Trade) -> None:
    trade(instrument, 100, 101, 102)

    def run(_: int) -> list[int]:
        try:
            return services.run_due(NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        found = [ids for ids in pool.map(run, range(16)) if ids]
    assert len(found) == 1, "exactly one of them wins"
    assert Signal.objects.count() == 1


def test_a_bar_is_not_read_before_its_last_ticks_are_there(
    instrument: Instrument, strategy: Strategy, trade: Trade
) -> None:
    trade(instrument, 100, 101, 102)
    early = NOW - timedelta(seconds=1)  # 12:00:30.0: the bar has closed, but its last ticks may be on their way
    assert services.run_due(early) == []
    assert len(services.run_due(NOW)) == 1


def test_a_bar_without_trades_gives_no_signal(instrument: Instrument, strategy: Strategy, trade: Trade) -> None:
    trade(instrument, 100, 101, 102)
    assert services.run_due(NOW + timedelta(seconds=10)) == []


def test_a_young_market_gives_no_signal(instrument: Instrument, strategy: Strategy, trade: Trade) -> None:
    trade(instrument, 101, 102)
    assert services.run_due(NOW) == []


def test_switched_off_means_not_asked(instrument: Instrument, strategy: Strategy, trade: Trade) -> None:
    trade(instrument, 100, 101, 102)
    other = make_instrument("ETH-USD")
    other.enabled = False
    other.save()
    strategy.instruments.add(other)
    trade(other, 100, 101, 102)
    assert len(services.run_due(NOW)) == 1
    Strategy.objects.update(enabled=False)
    assert services.run_due(NOW + timedelta(seconds=10)) == []


def test_a_failing_strategy_is_recorded_once_per_bar_and_hurts_no_other(
    instrument: Instrument, strategy: Strategy, trade: Trade
) -> None:
    broken = make_strategy("Broken", "no_such_plugin", {}, [instrument])
    trade(instrument, 100, 101, 102)
    assert len(services.run_due(NOW)) == 1
    services.run_due(NOW + timedelta(seconds=2))
    event = Event.objects.get(kind="strategy.failed")
    assert event.subject == f"strategy:{broken.pk}"
    assert "no_such_plugin" in event.payload["error"]


def test_wrong_parameters_are_a_failure_that_names_them(instrument: Instrument, trade: Trade) -> None:
    make_strategy("Broken", "momentum", {"lookback": 0}, [instrument])
    trade(instrument, 100, 101, 102)
    services.run_due(NOW)
    assert "lookback" in Event.objects.get(kind="strategy.failed").payload["error"]


def test_five_failures_in_a_row_switch_a_strategy_off(instrument: Instrument, trade: Trade) -> None:
    broken = make_strategy("Broken", "no_such_plugin", {}, [instrument])
    for bar in range(4):
        services.run_due(NOW + timedelta(seconds=10 * bar))
    broken.refresh_from_db()
    assert broken.enabled
    services.run_due(NOW + timedelta(seconds=40))
    broken.refresh_from_db()
    assert not broken.enabled
    assert Event.objects.filter(kind="strategy.disabled").count() == 1


def test_a_strategy_that_was_switched_on_again_has_five_tries_anew(instrument: Instrument, trade: Trade) -> None:
    broken = make_strategy("Broken", "no_such_plugin", {}, [instrument])
    for bar in range(5):
        services.run_due(NOW + timedelta(seconds=10 * bar))
    Strategy.objects.update(enabled=True)
    services.run_due(NOW + timedelta(seconds=50))
    broken.refresh_from_db()
    assert broken.enabled


CRASHING = """
from dataclasses import dataclass
from apps.domain.strategies.contract import Strategy

class Crashing(Strategy):
    name = "crashing"

    @dataclass(frozen=True)
    class Parameters:
        pass

    def __init__(self, parameters):
        pass

    @property
    def warmup(self):
        return 1

    def stances(self, candles):
        return candles.close / [][0]

class Rambling(Crashing):
    name = "rambling"

    def stances(self, candles):
        return [7] * len(candles.at)
"""


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a package that offers a strategy that crashes and one that answers nonsense."""
    (tmp_path / "bad_strategies.py").write_text(CRASHING)
    offer = "[tradingsite.strategies]\ncrashing = bad_strategies:Crashing\nrambling = bad_strategies:Rambling\n"
    (tmp_path / "bad_strategies-1.dist-info").mkdir()
    (tmp_path / "bad_strategies-1.dist-info" / "entry_points.txt").write_text(offer)
    (tmp_path / "bad_strategies-1.dist-info" / "METADATA").write_text("Name: bad_strategies\nVersion: 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    vars(STRATEGIES).pop("_found", None)
    yield
    vars(STRATEGIES).pop("_found", None)


@pytest.mark.parametrize(("plugin", "words"), [("crashing", "IndexError"), ("rambling", "one stance per bar")])
def test_a_crash_in_foreign_code_is_its_failure_alone(
    third_party: None, plugin: str, words: str, instrument: Instrument, strategy: Strategy, trade: Trade
) -> None:
    make_strategy("A bad one", plugin, {}, [instrument])
    trade(instrument, 100, 101, 102)
    assert len(services.run_due(NOW)) == 1
    assert words in Event.objects.get(kind="strategy.failed").payload["error"]
