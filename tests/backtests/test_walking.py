"""A walk forward trades each stretch of history with what was known before it, as one account."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from apps.backtests import selectors
from apps.backtests.models import Run, Study, Trial
from apps.backtests.services import benches, sweeps, walking
from apps.backtests.services.studies import Walk
from apps.backtests.sources import Loaded
from apps.domain.backtests import attempts, engine
from apps.domain.backtests.search import Search
from apps.domain.backtests.walking import Mode
from apps.domain.errors import Refused
from apps.domain.strategies import contract
from apps.domain.strategies.contract import Candles
from apps.domain.strategies.sma_cross import SmaCross
from tests.backtests import searching
from tests.backtests.searching import begun, finished, results

ROLLING = Walk(train="200", test="50")
SPACE = ("fast=2:20:6", "slow=10:50:20")


def walked(data: Loaded | None = None, **wanted: Any) -> Study:
    return finished(begun(data, **{"space": SPACE, "walk": ROLLING, "objective": "return_pct", **wanted}))


def told(study: Study) -> dict[str, Any]:
    report = sweeps.report(study)
    assert report["state"] == "done", report["error"]
    return report


@pytest.mark.django_db
def test_each_window_trades_what_was_best_in_its_training() -> None:
    study = walked()
    report = told(study)
    assert len(report["windows"]) == 8
    for each in report["windows"]:
        best = sweeps.ranked(study, each["window"])[0]
        assert best.measures
        assert each["parameters"] == best.parameters
        assert each["train"]["value"] == best.measures["return_pct"]
        assert (each["train"]["bars"], each["test"]["bars"]) == (200, 50)


@pytest.mark.django_db
def test_a_trial_sees_the_bars_of_its_training_window_alone() -> None:
    study = walked()
    bench = benches.of(study)
    for row in Trial.objects.filter(study=study, window__in=[0, 3]):
        start, stop, _ = study.windows[row.window]
        part = attempts.cut(bench.loaded.candles, start, stop)
        alone = attempts.measured(SmaCross, row.parameters, part, bench.conventions, bar_seconds=searching.DAY)
        assert row.measures == alone


@pytest.mark.django_db
def test_the_stitched_account_trades_the_stances_of_every_window() -> None:
    """An independent stitch: stances side by side, one run of the engine over the tests."""
    study = walked()
    candles = searching.candles()
    stances = np.zeros(600, np.int8)
    for each, (_, test, end) in zip(told(study)["windows"], study.windows, strict=True):
        strategy = contract.build(SmaCross, each["parameters"])
        first = test - 1 if test == 200 else test
        stances[first:end] = strategy.stances(candles)[first:end]
    whole = Candles._make(column[199:] for column in candles)
    expected = engine.run(whole, stances[199:], benches.of(study).conventions, warmup=1)
    assert study.run
    at, equity = selectors.equity(study.run)
    assert equity.tolist() == expected.equity.tolist()
    assert at.tolist() == expected.at.tolist()
    assert selectors.trades(study.run).pnl.tolist() == expected.trades.pnl.tolist()
    assert expected.closed_trades > 3


@pytest.mark.django_db
@pytest.mark.parametrize("mode", Mode)
def test_what_comes_later_changes_nothing_before(mode: Mode) -> None:
    """No look-ahead: another future gives the same choices, trades and equity up to where it begins."""
    past, other = searching.candles(), searching.candles(seed=9)
    cut = 450
    ratio = past.close[cut - 1] / other.close[cut - 1]
    future = [column[cut:] * (1 if name in ("at", "volume") else ratio) for name, column in other._asdict().items()]
    mixed = Candles._make(np.concatenate([a[:cut], b]).astype(a.dtype) for a, b in zip(past, future, strict=True))
    walk = Walk(train="200", test="50", mode=mode)
    one, two = (walked(searching.given(series), walk=walk) for series in (past, mixed))
    chosen = [[each["parameters"] for each in told(study)["windows"]][:6] for study in (one, two)]
    assert chosen[0] == chosen[1]
    curves = [selectors.equity(study.run)[1] for study in (one, two) if study.run]
    bars = cut - 199
    assert curves[0][:bars].tolist() == curves[1][:bars].tolist()
    assert curves[0][bars:].tolist() != curves[1][bars:].tolist()


@pytest.mark.django_db
def test_windows_add_up_to_the_whole() -> None:
    study = walked()
    report = told(study)
    growth = np.prod([1 + each["test"]["gain_pct"] / 100 for each in report["windows"]])
    assert study.run
    assert report["result"]["final_equity"] == pytest.approx(study.run.conventions["cash"] * growth)
    assert report["result"]["final_equity"] == study.run.statistics["final_equity"]
    pnl = sum(each["test"]["pnl"] for each in report["windows"])
    assert pnl == pytest.approx(float(selectors.trades(study.run).pnl.sum()))


@pytest.mark.django_db
def test_the_run_is_evidence_with_its_code() -> None:
    study = walked()
    run = study.run
    assert isinstance(run, Run)
    assert (run.kind, run.state, run.plugin) == ("walkforward", "done", "sma_cross")
    assert run.code_hash == contract.code_hash(SmaCross)
    assert run.parameters == told(study)["windows"][-1]["parameters"]
    assert (run.since, run.until) == (searching.day(200), searching.day(599))
    assert run.statistics["bars"] == 401
    assert {"efficiency", "stability", "windows_with_gain"} <= study.summary.keys()


@pytest.mark.django_db
def test_a_window_without_a_good_trial_trades_nothing() -> None:
    report = told(walked(least_trades=1000))
    assert all(each["parameters"] is None for each in report["windows"])
    assert report["result"]["closed_trades"] == 0
    assert report["efficiency"] is None


@pytest.mark.django_db
@pytest.mark.parametrize("how", Search)
def test_the_same_walk_twice_is_the_same(how: Search) -> None:
    one, two = (walked(search=how, trials=8, again=True) for _ in range(2))
    assert results(one) == results(two)
    assert one.summary == two.summary
    assert one.run
    assert two.run
    assert one.run.key == two.run.key


@pytest.mark.django_db
def test_windows_of_another_walk_are_taken_over() -> None:
    walked()
    shorter = begun(space=SPACE, walk=Walk(train="200", test="100"), objective="sharpe")
    assert sweeps.progress(shorter.pk).reused == 4 * 10, "every second window is one of before"


@pytest.mark.django_db
def test_several_instruments_walk_as_one_account() -> None:
    data = searching.given(searching.candles(), searching.candles(seed=2))
    report = told(walked(data))
    assert len(report["windows"]) == 8
    assert {trade["instrument"] for trade in walking.stitched(Run.objects.get())["trades"]} == {"a", "b"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("walk", "rule"),
    [
        pytest.param(Walk(train="600", test="50"), "nothing to test on", id="too long"),
        pytest.param(Walk(train="soon", test="50"), "no length of a window", id="no length"),
        pytest.param(Walk(train="5", test="50"), "5 bars to train", id="too short"),
    ],
)
def test_windows_that_do_not_fit_are_refused(walk: Walk, rule: str) -> None:
    with pytest.raises(Refused, match=rule):
        begun(walk=walk)
    assert not Study.objects.exists()


# --- the command ----------------------------------------------------------------------------------------------------


def command(*words: str) -> Any:
    out = StringIO()
    call_command("walkforward", *words, "--inline", stdout=out)
    return json.loads(out.getvalue()) if "--json" in words else out.getvalue()


@pytest.fixture
def words(tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "walk.csv"
    path.write_text(searching.as_csv(searching.candles()))
    params = [word for text in SPACE for word in ("--param", text)]
    return ("sma_cross", "--candles", str(path), *params, "--objective", "return_pct")


@pytest.mark.django_db
def test_the_command_tells_windows_curve_and_trades(words: tuple[str, ...]) -> None:
    found = command(*words, "--train", "200d", "--test", "50d", "--mode", "anchored", "--json")
    assert found["plan"] == {"train": "200d", "test": "50d", "mode": "anchored"}
    assert len(found["windows"]) == 8
    assert [each["train"]["bars"] for each in found["windows"]] == [200 + 50 * number for number in range(8)]
    assert found["equity"]["value"][-1] == found["result"]["final_equity"]
    assert len(found["trades"]) == found["result"]["closed_trades"]
    assert found["statistics"]["final_equity"] == found["result"]["final_equity"]
    assert Run.objects.get(pk=found["run"]).kind == "walkforward"
    shown = command(*words, "--train", "200", "--test", "50")
    assert "walk-forward efficiency" in shown
    assert shown.count("fast=") == 8


@pytest.mark.django_db
def test_the_command_asks_for_its_windows(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match=r"train: none.*\n.*test: none.*\n.*mode: sideways"):
        command(*words, "--mode", "sideways")


@pytest.mark.django_db
def test_finer_bars_have_no_part_in_it() -> None:
    fine = searching.candles(2400, step=searching.DAY // 4)
    with pytest.raises(Refused, match="no part in a walk forward"):
        begun(searching.given(searching.candles(), detail=fine), walk=ROLLING)
