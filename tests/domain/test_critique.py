"""The critique by hand: each doubt is raised by a result that deserves it, and a good result is left in peace."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.domain.backtests import critique, statistics
from apps.domain.backtests.conventions import Conventions
from apps.domain.backtests.critique import Context, Remark, Severity
from apps.domain.backtests.doubts import luck
from apps.domain.backtests.result import Holding, Result
from apps.domain.strategies.contract import Candles
from tests.domain import curves
from tests.domain.curves import DAY

BARS = 1_500
DOCS = Path(__file__).resolve().parents[2] / "docs" / "statistics.md"
CHARGED = Conventions(cash=100_000.0, fee_rate=0.001)


def good(*, rates: Any = None, count: int = 180, **given: Any) -> tuple[Result, Candles]:
    """Return a result that nothing speaks against: many small gains, timed well, in a market that goes nowhere."""
    at = curves.every(DAY, BARS)
    close = 100 + 3 * np.sin(np.arange(BARS) * 2 * np.pi / 8)
    entry = 6 + 8 * np.arange(count)  # where the wave is low
    leave = entry + 4
    rates = 0.05 + 0.02 * np.sin(np.arange(count) * 1.7) if rates is None else np.asarray(rates)
    pnl = 1_000 * rates
    equity = np.full(BARS, 100_000.0)
    for bar, each in zip(leave, pnl, strict=True):
        equity[bar:] += each
    made = curves.trades(
        entry, leave, size=np.full(count, 10.0), entry_price=close[entry], exit_price=close[leave], pnl=pnl,
        entry_fee=np.full(count, 0.5), exit_fee=np.full(count, 0.5),
    )  # fmt: skip
    result = curves.result(equity, at, **{"trades": made, "conventions": CHARGED, **given})
    return result, curves.candles(close, at)


def remarks(case: tuple[Result, Candles], **context: Any) -> dict[str, Remark]:
    result, candles = case
    told = statistics.of(result, candles, trials=max(context.get("trials_searched", 0), 1))
    context = {"candles": (candles,), "out_of_sample": True, "parameter_count": 2, **context}
    return {remark.code: remark for remark in critique.of(result, told, Context(**context))}


def changed(change: Callable[[Result, Candles], tuple[Result, Candles]]) -> dict[str, Remark]:
    return remarks(change(*good()))


def test_nothing_speaks_against_a_good_result() -> None:
    assert remarks(good()) == {}


def with_volume(volume: float) -> dict[str, Remark]:
    result, candles = good()
    return remarks((result, candles._replace(volume=np.full(BARS, volume))))


def with_rules(**given: Any) -> dict[str, Remark]:
    return remarks(good(conventions=replace(CHARGED, **given)))


def with_equity(values: Any) -> dict[str, Remark]:
    result, candles = good()
    return remarks((replace(result, equity=np.asarray(values, dtype=np.float64)), candles))


def with_bounds(other: float, bars: int = 4) -> dict[str, Remark]:
    result, candles = good()
    rival = replace(result, equity=np.append(result.equity[:-1], other), ambiguous_bars=bars)
    return remarks((result, candles), bounds=(result, rival))


def with_holding(profit: float) -> dict[str, Remark]:
    result, candles = good()
    held = Holding(instrument=0, side=1, entry_bar=1490, entry_price=100.0, size=1.0, value=100.0)
    equity = np.append(result.equity[:-1], result.equity[-1] + profit)
    return remarks((replace(result, open=(held,), equity=equity), candles))


def stale() -> dict[str, Remark]:
    result, candles = good()
    volume = np.where(np.arange(BARS) % 8 == 6, 0.0, 1e6)  # nobody traded on the bars of the entries
    return remarks((result, candles._replace(volume=volume)))


SPAN = (int(curves.MONDAY), int(curves.MONDAY) + BARS * DAY)
HALF = (SPAN[0] + SPAN[1]) // 2
LUCKY = np.where(np.arange(40) % 2 == 0, 0.30, -0.28)
ONE_HIT = np.where(np.arange(180) == 90, 10.0, 0.01)
LATE_YEAR = np.concatenate((np.linspace(100_000, 100_500, 1_100), np.linspace(100_500, 130_000, BARS - 1_100)))

RAISED: list[Any] = [
    ("no-trades", Severity.RED, lambda: remarks(good(rates=[], count=0))),
    ("loses-money", Severity.RED, lambda: with_equity(np.linspace(100_000, 90_000, BARS))),
    ("few-trades", Severity.RED, lambda: remarks(good(count=20))),
    ("few-trades", Severity.AMBER, lambda: remarks(good(count=50))),
    ("many-parameters", Severity.RED, lambda: remarks(good(), parameter_count=19)),
    ("many-parameters", Severity.AMBER, lambda: remarks(good(), parameter_count=7)),
    ("too-short", Severity.AMBER, lambda: remarks(good(), tested_span=(SPAN[0], SPAN[0] + 200 * DAY))),
    ("too-short", Severity.RED, lambda: remarks(good(), tested_span=(SPAN[0], SPAN[0] + 20 * DAY))),
    ("overlap", Severity.RED, lambda: remarks(good(), searched_spans=[(SPAN[0] - DAY, SPAN[0] + DAY)])),
    ("luck-band", Severity.RED, lambda: remarks(good(rates=LUCKY, count=40))),
    ("luck-band", Severity.AMBER, lambda: remarks(good(rates=LUCKY + 0.06, count=40))),
    ("best-of-many", Severity.RED, lambda: remarks(good(rates=LUCKY, count=40), trials_searched=5_000)),
    (
        "random-entry",
        Severity.AMBER,
        lambda: changed(lambda r, c: (r, c._replace(close=100 * 1.03 ** np.arange(BARS)))),
    ),
    ("intrabar", Severity.NOTE, lambda: with_bounds(108_600.0)),
    ("intrabar", Severity.AMBER, lambda: with_bounds(106_000.0)),
    ("intrabar", Severity.RED, lambda: with_bounds(99_000.0)),
    ("fee-dominated", Severity.AMBER, lambda: remarks(good(rates=0.0006 + 0.0001 * np.arange(180) / 180))),
    ("fee-dominated", Severity.RED, lambda: remarks(good(rates=-0.0002 + 0.00001 * (np.arange(180) % 2)))),
    ("no-costs", Severity.AMBER, lambda: with_rules(fee_rate=0.0, slippage="none")),
    ("single-trade", Severity.AMBER, lambda: remarks(good(rates=ONE_HIT))),
    ("single-trade", Severity.RED, lambda: remarks(good(rates=np.where(np.arange(180) == 90, 10.0, -0.01)))),
    ("single-year", Severity.AMBER, lambda: with_equity(LATE_YEAR)),
    ("unrealised", Severity.AMBER, lambda: with_holding(50_000.0)),
    ("deep-drawdown", Severity.AMBER, lambda: with_equity([100_000, 40_000, *[120_000] * (BARS - 2)])),
    ("deep-drawdown", Severity.RED, lambda: with_equity([100_000, 5_000, *[120_000] * (BARS - 2)])),
    ("under-water", Severity.AMBER, lambda: with_equity([110_000, *[101_000] * 900, *[120_000] * (BARS - 901)])),
    ("flat-curve", Severity.AMBER, lambda: remarks(good(count=100))),
    ("stale-fills", Severity.RED, stale),
    ("gaps", Severity.NOTE, lambda: remarks(good(), missing_bars=3)),
    ("gaps", Severity.AMBER, lambda: remarks(good(), missing_bars=50)),
    ("gaps", Severity.RED, lambda: remarks(good(), missing_bars=500)),
    ("capacity", Severity.AMBER, lambda: with_volume(200.0)),
    ("capacity", Severity.RED, lambda: with_volume(20.0)),
    ("same-close", Severity.AMBER, lambda: with_rules(fill="close")),
    ("benchmark", Severity.AMBER, lambda: with_equity(100_000 + 10 * np.sin(np.arange(BARS)) + np.arange(BARS) / 99)),
    ("rejected", Severity.NOTE, lambda: remarks(good(rejected={"cash": 3}))),
    ("rejected", Severity.AMBER, lambda: remarks(good(rejected={"cash": 30, "max_open_positions": 20}))),
    ("in-sample", Severity.NOTE, lambda: remarks(good(), out_of_sample=False)),
]


@pytest.mark.parametrize(
    ("code", "severity", "make"), RAISED, ids=[f"{code} {grade.value}" for code, grade, _ in RAISED]
)
def test_a_doubt_is_raised_where_it_belongs(
    code: str, severity: Severity, make: Callable[[], dict[str, Remark]]
) -> None:
    found = make()
    assert code in found, sorted(found)
    assert found[code].severity is severity, found[code].sentence
    assert found[code].sentence.endswith(".")
    assert found[code].remedy


def test_every_code_is_tried_and_documented() -> None:
    part = DOCS.read_text().partition("## Critique")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| `")
    ]
    assert {code for code, _, _ in RAISED} == set(critique.CODES)
    assert [row[0].strip("`") for row in rows] == list(critique.CODES)
    raised = {(code, grade.value) for code, grade, _ in RAISED}
    said = {(row[0].strip("`"), grade.strip()) for row in rows for grade in row[1].split(",")}
    assert raised - said == set()


def test_the_gravest_comes_first() -> None:
    result, candles = good(count=20)
    found = critique.of(result, statistics.of(result, candles), Context(missing_bars=3, parameter_count=1))
    grades = [list(Severity).index(remark.severity) for remark in found]
    assert len(set(grades)) > 1
    assert grades == sorted(grades)


def test_the_same_seed_gives_the_same_critique_and_another_draws_anew() -> None:
    case = good(rates=LUCKY + 0.06, count=40)
    first, second, other = (remarks(case, seed=seed)["luck-band"] for seed in (1, 1, 2))
    assert first == second
    assert first.number != other.number
    assert first.number == pytest.approx(other.number, abs=0.05)


def test_a_remark_is_json_and_says_its_number() -> None:
    remark = remarks(good(count=20))["few-trades"]
    assert json.loads(json.dumps(remark.as_json())) == {
        "code": "few-trades",
        "severity": "red",
        "sentence": remark.sentence,
        "number": 20.0,
        "limit": 30.0,
        "remedy": remark.remedy,
    }
    assert re.search(r"\b20 trades\b", remark.sentence)
    assert "30" in remark.sentence


def test_one_trade_is_said_in_the_singular() -> None:
    assert remarks(good(count=1, rates=[0.1]))["few-trades"].sentence.startswith("1 trade was closed")


def test_more_trials_make_luck_likelier() -> None:
    chances = [
        remarks(good(rates=LUCKY + 0.06, count=40), trials_searched=tried)["luck-band"].number for tried in (0, 3, 9)
    ]
    assert chances == sorted(chances)
    assert chances[0] < chances[-1]


def test_the_bootstrap_agrees_with_the_normal_law() -> None:
    """Trades with a known spread: a mean two standard errors above zero has a chance of 2.3 %."""
    each = np.sin(np.arange(900) * 2.3)
    each = (each - each.mean()) / each.std(ddof=1)
    assert luck.chance_of_mean(each + 2 / 30, 0) == pytest.approx(0.0228, abs=0.012)
    many = np.tile(each, 4)
    assert luck.chance_of_mean(many + 2 / 60 * many.std(ddof=1), 0) == pytest.approx(0.0228, abs=0.001)


def test_overlapping_searches_are_not_counted_twice() -> None:
    spans = [(SPAN[0], HALF), (SPAN[0] + DAY, HALF - DAY)]
    assert remarks(good(), searched_spans=spans)["overlap"].number == pytest.approx(0.5, abs=0.001)


def test_a_search_on_other_data_is_no_overlap() -> None:
    found = remarks(good(), searched_spans=[(SPAN[0] - 900 * DAY, SPAN[0])], trials_searched=10, out_of_sample=False)
    assert "overlap" not in found
    assert "in-sample" not in found


def test_the_bounds_as_json() -> None:
    result, _ = good()
    made = curves.trades([0, 1], [1, 2], ambiguous=[True, False])
    rival = replace(result, trades=made, ambiguous_bars=7)
    found = json.loads(json.dumps(critique.bounds_json(result, rival)))
    assert (found["ambiguous_bars"], found["ambiguous_trades"]) == (7, 1)
    assert found["stop_first"]["final_equity"] == result.final_equity
    assert found["target_first"]["closed_trades"] == 2


@pytest.mark.parametrize("equity", [[100.0], [100.0, 0.0], [100.0, -5.0, 3.0]])
def test_a_wretched_result_is_criticised_without_breaking(equity: list[float]) -> None:
    result = curves.result(equity)
    candles = curves.candles(np.full(len(equity), 100.0), result.at)
    found = critique.of(result, statistics.of(result, candles), Context(candles=(candles,), bounds=(result, result)))
    assert found[0].severity is Severity.RED
