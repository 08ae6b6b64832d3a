"""Strategies on closed bars: one signal per bar however often asked, and a failing one hurts nobody else."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from django.db import connection

from apps.domain.strategies import contract
from apps.domain.strategies.registry import STRATEGIES
from apps.journal.models import Event
from apps.market import store
from apps.market.models import Instrument
from apps.market.store import candles
from apps.market.store.candles import CandleRow
from apps.strategies import services, versions
from apps.strategies.host.pool import Pool
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


@pytest.mark.parametrize("stage", ["draft", "backtested", "paused", "retired"])
def test_only_paper_and_live_are_asked(stage: str, instrument: Instrument, strategy: Strategy, trade: Trade) -> None:
    trade(instrument, 100, 101, 102)
    Strategy.objects.update(stage=stage)
    assert services.run_due(NOW) == []
    assert not Signal.objects.exists()
    Strategy.objects.update(stage="live")
    assert len(services.run_due(NOW)) == 1


def test_a_signal_says_by_which_code_and_which_parameters(
    instrument: Instrument, strategy: Strategy, trade: Trade
) -> None:
    trade(instrument, 100, 101, 102)
    services.run_due(NOW)
    signal = Signal.objects.get()
    assert signal.version == contract.code_hash(STRATEGIES.get("momentum"))
    assert signal.parameters == {"lookback": 2, "threshold": 0.0}
    assert (signal.reason, signal.weight, signal.plan) == ("turned long, was flat", None, None)


def test_the_reason_says_what_changed(instrument: Instrument, strategy: Strategy, trade: Trade) -> None:
    trade(instrument, 100, 101, 102, 101, 100)
    services.run_due(NOW)
    assert Signal.objects.get().reason == "turned short, was flat"
    trade(instrument, 99, now=NOW + timedelta(seconds=10))
    services.run_due(NOW + timedelta(seconds=10))
    assert Signal.objects.first().reason == "still short"


def test_changed_code_stops_a_strategy_and_says_so(instrument: Instrument, strategy: Strategy, trade: Trade) -> None:
    trade(instrument, 100, 101, 102)
    Strategy.objects.update(proven="0" * 64)  # the digest of what its stage was given for
    assert services.run_due(NOW) == []
    strategy.refresh_from_db()
    assert (strategy.stage, strategy.enabled) == ("draft", True)
    event = Event.objects.get(kind="strategy.voided")
    assert (event.payload["from"], event.payload["to"]) == ("paper", "draft")
    assert not Signal.objects.exists()


def test_what_its_stage_rests_on_is_noted_at_the_first_look(
    instrument: Instrument, strategy: Strategy, trade: Trade
) -> None:
    trade(instrument, 100, 101, 102)
    services.run_due(NOW)
    strategy.refresh_from_db()
    assert strategy.proven == versions.of("momentum", {"lookback": 2}, 10).digest


def test_several_instruments_are_looked_at_together(instrument: Instrument, trade: Trade) -> None:
    other = make_instrument("ETH-USD")
    parameters = {"lookback": 2, "top": 1, "hold": 1}
    rotation = make_strategy("Rotation", "momentum_rotation", parameters, [instrument, other])
    trade(instrument, 100, 100, 100, 101, 102, 103)
    trade(other, 100, 100, 100, 102, 104, 108)
    assert len(services.run_due(NOW)) == 2
    told = {signal.instrument_id: signal for signal in Signal.objects.filter(strategy=rotation)}
    assert (told[instrument.pk].stance, told[instrument.pk].weight) == (0, 0.0)
    assert (told[other.pk].stance, told[other.pk].weight) == (1, 1.0)
    assert "weight" in told[other.pk].reason


def test_a_bar_that_one_of_several_did_not_trade_in_gives_no_signal(instrument: Instrument, trade: Trade) -> None:
    other = make_instrument("ETH-USD")
    make_strategy("Rotation", "momentum_rotation", {"lookback": 2, "top": 1, "hold": 1}, [instrument, other])
    trade(instrument, 100, 100, 100, 101, 102, 103)
    trade(other, 100, 100, 100, 102, 104, now=NOW - timedelta(seconds=10))
    assert services.run_due(NOW) == []
    assert not Event.objects.exists()


def test_a_planned_way_out_is_kept_with_the_signal(instrument: Instrument, trade: Trade) -> None:
    make_strategy("Channel", "atr_channel", {}, [instrument])
    plugin = contract.build(STRATEGIES.get("atr_channel"), {})
    prices = [100 + 0.5 * number for number in range(2 * plugin.warmup)]
    trade(instrument, *prices[:-1], prices[-2] + 50)
    services.run_due(NOW)
    signal = Signal.objects.get()
    assert signal.stance == 1
    assert signal.plan is not None
    assert set(signal.plan) <= {"stop_loss", "take_profit", "trailing_distance"}
    assert all(value > 0 for value in signal.plan.values())


def test_stored_candles_serve_where_ticks_are_gone(
    instrument: Instrument, market_store: store.Store, trade: Trade
) -> None:
    """Bars of a minute and more are kept as candles for years, ticks for days."""
    minute = NOW.replace(minute=30, second=0)
    Strategy.objects.create(
        name="Long", plugin="momentum", parameters={"lookback": 40}, bar_seconds=60, enabled=True, stage="paper"
    ).instruments.set([instrument])
    old = [minute - timedelta(minutes=back) for back in range(60, 10, -1)]
    rows = [CandleRow(instrument.pk, at, "90", "90", "90", "90", "1") for at in old]
    candles.write(market_store, store.Timeframe.MINUTE, rows)
    now = minute + timedelta(seconds=1)
    assert services.run_due(now) == [], "the last ten minutes are not there yet"
    trade(instrument, *[100.0] * 10, bar_seconds=60, now=now)
    assert len(services.run_due(now)) == 1
    assert Signal.objects.get().stance == 1


def test_each_strategy_is_delivered_at_once(instrument: Instrument, strategy: Strategy, trade: Trade) -> None:
    make_strategy("Second", "momentum", {"lookback": 2}, [instrument])
    trade(instrument, 100, 101, 102)
    heard: list[list[int]] = []
    ids = services.run_due(NOW, deliver=heard.append)
    assert heard == [[ids[0]], [ids[1]]]


def test_no_market_store_is_an_error_that_leaves_no_process_behind(
    instrument: Instrument, strategy: Strategy, monkeypatch: pytest.MonkeyPatch, hosts: Pool
) -> None:
    broken = store.connect("postgres://nobody@127.0.0.1:1/nothing")
    monkeypatch.setattr("apps.market.selectors.market_store", lambda: broken)
    with pytest.raises(store.StoreUnavailable):
        services.run_due(NOW)
    assert not [child for child in psutil.Process().children() if "apps.strategies.host" in child.cmdline()]
    broken.close()
