"""Every move between stages, and every reason why evidence is none."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from apps.domain.backtests import gate
from apps.domain.backtests.gate import Compared, Span, Stage, Tolerance, Version
from apps.domain.errors import Refused

ALLOWED = {
    "draft": "backtested retired",
    "backtested": "paper draft retired",
    "paper": "live paused draft retired",
    "live": "paper paused draft retired",
    "paused": "paper live draft retired",
    "retired": "draft",
}
PROMOTIONS = {("draft", "backtested"), ("backtested", "paper"), ("paper", "live")}
V = Version(plugin="sma_cross", code_hash="c" * 64, parameters={"fast": 10, "slow": 20}, bar_seconds=60)
DAY = timedelta(days=1)
T0 = datetime(2024, 1, 1, tzinfo=UTC)


def days(since: float, until: float) -> Span:
    return Span(T0 + since * DAY, T0 + until * DAY)


RUN = gate.Tested(label="run 1", version=V, finished=True, span=days(0, 10))
PAPER = Compared(
    label="comparison 1",
    version_digest=V.digest,
    span=days(0, 14),
    signals=100,
    missed=5,
    extra=5,
    fills=10,
    slippage=0.001,
)


@pytest.mark.parametrize(("now", "wanted"), list(itertools.product(Stage, Stage)))
def test_every_move(now: Stage, wanted: Stage) -> None:
    possible = wanted in ALLOWED[now].split()
    if possible:
        gate.check_move(now, wanted, paused_from=wanted)
    else:
        with pytest.raises(Refused, match="stage"):
            gate.check_move(now, wanted, paused_from=wanted)
    assert gate.is_promotion(now, wanted) == ((now, wanted) in PROMOTIONS) or not possible


@pytest.mark.parametrize(("origin", "wanted"), list(itertools.product(["", "paper", "live"], ["paper", "live"])))
def test_a_pause_ends_where_it_began(origin: str, wanted: str) -> None:
    if origin == wanted:
        gate.check_move(Stage.PAUSED, Stage(wanted), paused_from=origin)
    else:
        with pytest.raises(Refused, match="where the pause began"):
            gate.check_move(Stage.PAUSED, Stage(wanted), paused_from=origin)


@pytest.mark.parametrize(("now", "wanted"), list(itertools.product(Stage, Stage)))
def test_no_way_up_the_ladder_skips_evidence(now: Stage, wanted: Stage) -> None:
    """Whatever leads to a stage that needs evidence is a promotion, a step down, or the end of a pause."""
    if wanted in gate.MOVES[now] and wanted in gate.NEEDS and not gate.is_promotion(now, wanted):
        down = now in gate.LADDER and gate.LADDER.index(now) > gate.LADDER.index(wanted)
        assert down or now == Stage.PAUSED


def test_the_next_stage() -> None:
    assert [gate.next_stage(stage) for stage in Stage] == ["backtested", "paper", "live", None, None, None]


def test_only_paper_and_live_are_followed() -> None:
    assert {"paper", "live"} == gate.FOLLOWED


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"plugin": "momentum"}, id="another plug-in"),
        pytest.param({"code_hash": "d" * 64}, id="other code"),
        pytest.param({"parameters": {"fast": 11, "slow": 20}}, id="another value"),
        pytest.param({"parameters": {"fast": 10}}, id="one less"),
        pytest.param({"bar_seconds": 300}, id="other bars"),
    ],
)
def test_a_version_is_everything_that_decides_a_stance(other: dict[str, object]) -> None:
    changed = replace(V, **other)
    assert changed.digest != V.digest
    assert gate.judge_backtest(V, [replace(RUN, version=changed)]).chosen is None


def test_equal_numbers_are_one_version() -> None:
    assert replace(V, parameters={"slow": 20.0, "fast": 10.0}).digest == V.digest


def test_words_and_switches_are_part_of_a_version() -> None:
    one, two = (replace(V, parameters={"kind": kind}) for kind in ("a", "b"))
    assert one.digest != two.digest


@pytest.mark.parametrize(
    ("tests", "chosen", "words"),
    [
        pytest.param([RUN], 0, "", id="a good one"),
        pytest.param([], None, "there is no backtest", id="none at all"),
        pytest.param([replace(RUN, finished=False)], None, "is not finished", id="one that runs"),
        pytest.param([replace(RUN, reds=("few_trades",))], None, "red critique: few_trades", id="a red one"),
        pytest.param([replace(RUN, reds=("x",)), RUN], 1, "", id="the newest that is good"),
        pytest.param(
            [replace(RUN, version=replace(V, code_hash="d"))], None, "was computed by other code", id="older code"
        ),
        pytest.param(
            [replace(RUN, version=replace(V, parameters={"fast": 9, "slow": 20}))],
            None,
            "other parameters: fast",
            id="other parameters",
        ),
        pytest.param(
            [replace(RUN, version=replace(V, bar_seconds=86400))], None, "bars of 86400 s", id="another length of bars"
        ),
        pytest.param([replace(RUN, span=None)], 0, "", id="days do not matter here"),
    ],
)
def test_what_shows_that_it_was_backtested(tests: list[gate.Tested], chosen: int | None, words: str) -> None:
    verdict = gate.judge_backtest(V, tests)
    assert verdict.chosen == chosen
    assert words in " · ".join(verdict.why)
    assert bool(verdict.why) == (chosen is None)


@pytest.mark.parametrize(
    ("test", "searched", "good"),
    [
        pytest.param(RUN, [], True, id="nothing was searched"),
        pytest.param(RUN, [days(20, 30)], True, id="searched later"),
        pytest.param(RUN, [days(10, 30)], False, id="the last day is shared"),
        pytest.param(RUN, [days(-5, 0)], False, id="the first day is shared"),
        pytest.param(RUN, [days(2, 3)], False, id="searched within"),
        pytest.param(RUN, [days(-9, 99)], False, id="searched around"),
        pytest.param(RUN, [days(20, 30), days(-9, -2)], True, id="between two searches"),
        pytest.param(replace(RUN, span=None), [], False, id="no days"),
        pytest.param(replace(RUN, walked=True), [days(0, 10)], True, id="a walk-forward chooses on earlier days"),
        pytest.param(replace(RUN, walked=True, reds=("x",)), [], False, id="a red walk-forward"),
        pytest.param(replace(RUN, walked=True, version=replace(V, code_hash="d")), [], False, id="of older code"),
    ],
)
def test_what_is_out_of_sample(test: gate.Tested, searched: list[Span], good: bool) -> None:
    assert (gate.judge_out_of_sample(V, [test], searched).chosen == 0) == good


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({}, "", id="just within"),
        pytest.param({"span": days(0, 13.9)}, "spans 13.9 days, 14 are asked for", id="too short"),
        pytest.param({"missed": 6}, "6 missed signals", id="missed too many"),
        pytest.param({"extra": 6}, "6 extra signals", id="too many that the backtest does not give"),
        pytest.param({"fills": 9}, "9 fills", id="too few fills to say"),
        pytest.param({"slippage": 0.0011}, "0.1100% worse", id="fills too bad"),
        pytest.param({"slippage": float("nan")}, "worse", id="no number"),
        pytest.param({"slippage": -1.0}, "", id="fills better than thought"),
        pytest.param({"version_digest": "other"}, "other code or parameters", id="another version"),
        pytest.param({"signals": 0, "missed": 0, "extra": 1}, "1 extra", id="nothing to share by"),
    ],
)
def test_what_paper_trading_must_show(change: dict[str, object], words: str) -> None:
    verdict = gate.judge_paper(V, [replace(PAPER, **change)], Tolerance())
    assert (verdict.chosen == 0) == (not words)
    assert words in " · ".join(verdict.why)


def test_the_reasons_of_the_three_that_come_nearest_are_told() -> None:
    red = replace(RUN, reds=("x",))
    tests = [replace(red, label=f"run {n}", finished=n > 2) for n in range(9)]
    why = gate.judge_backtest(V, tests).why
    assert [text.partition(" has")[0] for text in why] == ["run 3", "run 4", "run 5"]
