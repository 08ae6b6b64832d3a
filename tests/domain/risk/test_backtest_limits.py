"""The same rules run in backtests: the loop compiles what live rules call, and each limit stops what it should."""

from dataclasses import fields
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.domain.backtests import engine, guards
from apps.domain.backtests.conventions import Conventions
from apps.domain.backtests.limits import Limits
from apps.domain.backtests.state import Refusal
from apps.domain.risk import measures
from apps.domain.risk.registry import RULES
from apps.domain.strategies.contract import Candles

UNTIMED = settings(deadline=None)  # a first call compiles
eighths = st.integers(-8_000_000, 8_000_000).map(lambda n: Decimal(n) / 8)
rates = st.integers(0, 64).map(lambda n: Decimal(n) / 64)
NUMBERS: dict[str, int] = {
    "too_much": 2, "share": 2, "grown": 2, "nearer": 2, "away": 2, "lowest": 2, "fallen": 2, "is_asleep": 2,
}  # fmt: skip
COUNTS = ("too_many", "streak_after")
ALL = (*NUMBERS, *COUNTS, "likeness")
# What bars do not have: a spread, a feed that falls silent, and a time in which their market is closed.
ONLY_LIVE = {"max_spread", "stale_data", "market_closed"}


def compiled(name: str) -> Any:
    return getattr(guards, name)


@pytest.mark.parametrize("name", ALL)
def test_the_loop_compiles_the_measures_that_live_rules_call(name: str) -> None:
    assert compiled(name).py_func is getattr(measures, name)


@pytest.mark.parametrize("name", NUMBERS)
@UNTIMED
@given(first=eighths, second=eighths | rates)
def test_decimals_and_floats_agree(name: str, first: Decimal, second: Decimal) -> None:
    exact = getattr(measures, name)(first, second)
    assert compiled(name)(float(first), float(second)) == (exact if isinstance(exact, bool) else float(exact))


@UNTIMED
@given(st.integers(0, 50), st.integers(1, 50), eighths)
def test_counts_agree(count: int, most: int, pnl: Decimal) -> None:
    assert compiled("too_many")(count, most) == measures.too_many(count, most)
    assert compiled("streak_after")(count, float(pnl)) == measures.streak_after(count, pnl)


@UNTIMED
@given(st.lists(st.tuples(st.integers(50, 150), st.integers(50, 150)), min_size=4, max_size=40))
def test_likeness_is_the_correlation_of_returns(pairs: list[tuple[int, int]]) -> None:
    left, right = (np.array(column, np.float64) for column in zip(*pairs, strict=True))
    found = compiled("likeness")(left, right)
    assert found == pytest.approx(measures.likeness(left.tolist(), right.tolist()), rel=1e-9, nan_ok=True)
    returns = [each[1:] / each[:-1] - 1 for each in (left, right)]
    if min(each.std() for each in returns) < 1e-9:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(np.corrcoef(*returns)[0, 1], abs=1e-9)


def test_every_rule_runs_in_backtests_but_those_that_bars_cannot_answer() -> None:
    ours = {name for name in RULES.names() if RULES.get(name).__module__.startswith("apps.")}
    named = {item.name for item in fields(Limits)} - {"close_on_breach"}
    assert named == ours - ONLY_LIVE
    refusals = {kind.name.lower() for kind in Refusal}
    assert named - {"leverage"} <= refusals, "leverage is refused as cash"


# --- each limit in a run --------------------------------------------------------------------------------------------
def market(closes: list[float], *, step: int = 3600) -> Candles:
    prices = np.array(closes, np.float64)
    at = np.arange(len(prices), dtype=np.int64) * step
    opens = np.concatenate([prices[:1], prices[:-1]])
    return Candles(at, opens, np.maximum(opens, prices), np.minimum(opens, prices), prices, np.ones(len(prices)))


def run(markets: list[Candles], stances: list[list[int]], **limits: Any) -> Any:
    plain = {"slippage": "none", "sizing": "notional", "size": 10_000.0, "units": "fractional"}
    conventions = Conventions.restored({**plain, "limits": limits})
    return engine.run(markets, [np.array(each, np.int8) for each in stances], conventions)


def weighed(markets: list[Candles], weights: list[list[float]], **limits: Any) -> Any:
    conventions = Conventions.restored({"slippage": "none", "units": "fractional", "limits": limits})
    return engine.run(markets, [np.array(each, np.float64) for each in weights], conventions)


QUIET = [100.0] * 6
LONG, SHORT = [0, 1, 1, 1, 1, 1], [0, -1, -1, -1, -1, -1]
LATER = [0, 0, 0, 1, 1, 1]


def test_net_exposure_counts_shorts_against_longs() -> None:
    two = [market(QUIET)] * 2
    assert run(two, [LONG, LATER], max_net_exposure=0.15).rejected == {"max_net_exposure": 1}
    assert run(two, [LONG, [-each for each in LATER]], max_net_exposure=0.15).rejected == {}
    assert len(run(two, [LONG, LATER], max_net_exposure=0.25).open) == 2


def test_an_order_that_comes_nearer_to_balance_passes_beyond_the_limit() -> None:
    doubled = [100.0, 100.0, 100.0, 250.0, 250.0, 250.0]  # the long grows to 0.22 of equity
    two = [market(doubled), market(QUIET)]
    assert run(two, [LONG, [0, 0, 0, -1, -1, -1]], max_net_exposure=0.11).rejected == {}
    assert run(two, [LONG, [0, 0, 0, 1, 1, 1]], max_net_exposure=0.11).rejected == {"max_net_exposure": 1}


@pytest.mark.parametrize(("rate", "refused"), [(0.09, 1), (0.11, 0)])
@pytest.mark.parametrize("name", ["max_asset_exposure", "max_strategy_exposure"])
def test_exposure_of_one_asset_and_of_the_strategy(name: str, rate: float, refused: int) -> None:
    assert run([market(QUIET)], [LONG], **{name: rate}).rejected == ({name: 1} if refused else {})


def test_the_exposure_of_one_asset_leaves_another_alone_that_of_the_strategy_does_not() -> None:
    two = [market(QUIET)] * 2
    assert run(two, [LONG, LATER], max_asset_exposure=0.15).rejected == {}
    assert run(two, [LONG, LATER], max_strategy_exposure=0.15).rejected == {"max_strategy_exposure": 1}


@pytest.mark.parametrize(("step", "refused"), [(3600, 1), (60, 1), (20, 2)])
def test_entries_of_one_minute_are_counted(step: int, refused: int) -> None:
    """Two at once and a third two bars later: on long bars it is another minute, on bars of 20 s it is not."""
    three = [market(QUIET, step=step)] * 3
    found = run(three, [LONG, LONG, LATER], max_order_rate=1).rejected
    assert found == {"max_order_rate": refused}


def test_a_fill_far_from_the_close_that_decided_is_not_made() -> None:
    candles = market(QUIET)
    gapped = candles._replace(open=np.array([100.0, 100.0, 103.0, 100.0, 100.0, 100.0]), high=np.full(6, 103.0))
    assert run([gapped], [LONG], price_band=0.02).rejected == {"price_band": 1}
    assert run([gapped], [LONG], price_band=0.04).rejected == {}


def walk(seed: int, bars: int) -> list[float]:
    return list(100 * np.cumprod(1 + np.random.default_rng(seed).normal(0, 0.01, bars)))


BARS = 60
FIRST, SECOND = [1] * BARS, [0] * 40 + [1] * 20
FIRST[0] = 0


@pytest.mark.parametrize(("second", "sign", "refused"), [(1, 1, 1), (1, -1, 0), (2, 1, 0)])
def test_what_moves_alike_is_not_held_twice_on_one_side(second: int, sign: int, refused: int) -> None:
    two = [market(walk(1, BARS)), market(walk(second, BARS))]
    found = run(two, [FIRST, [sign * each for each in SECOND]], max_correlation=0.8).rejected
    assert found == ({"max_correlation": 1} if refused else {})


def test_too_few_bars_say_nothing_and_refuse() -> None:
    two = [market(walk(1, BARS)), market(walk(2, BARS))]
    early = [0] * 20 + [1] * 40
    assert run(two, [FIRST, early], max_correlation=0.8).rejected == {"max_correlation": 1}


WEIGHTS: dict[str, tuple[dict[str, Any], int]] = {
    "max_net_exposure": ({"max_net_exposure": 0.3}, 1),
    "max_asset_exposure": ({"max_asset_exposure": 0.15}, 2),
    "max_strategy_exposure": ({"max_strategy_exposure": 0.3}, 1),
    "max_order_rate": ({"max_order_rate": 1}, 1),
}


@pytest.mark.parametrize(("limits", "refused"), WEIGHTS.values(), ids=WEIGHTS)
def test_target_weights_pass_the_same_limits(limits: dict[str, Any], refused: int) -> None:
    weights = [[0.2, 0.2, 0.2, 0.2, 0.2, 0.2]] * 2
    found = weighed([market(QUIET)] * 2, weights, **limits).rejected
    assert found == {next(iter(limits)): refused}


def test_target_weights_that_move_alike_are_refused_only_while_something_is_to_be_bought() -> None:
    alike = [market(walk(1, BARS))] * 2
    first, second = [0.3] * BARS, [0.0] * 40 + [0.3] * 20
    found = weighed(alike, [first, second], max_correlation=0.8)
    assert found.rejected["max_correlation"] == 1
    assert [each.instrument for each in found.open] == [0]
