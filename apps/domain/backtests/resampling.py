"""How much of a result is luck: the same trades in another order, trades drawn anew, or stretches of returns anew.

shuffle     every sample holds the same trades in another order: what is left to chance is the drawdown
bootstrap   every sample draws as many trades with replacement (Efron 1979): for trades that do not depend on each other
blocks      every sample puts blocks of consecutive per-bar returns together (circular block bootstrap, Politis and
            Romano 1992), so that spells of calm and storm survive

Everything follows from the seed. Rates are fractions (0.01 is one percent), percentages say so in their name.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from apps.domain.errors import Problem, Refused

Floats = npt.NDArray[np.float64]

PERCENTILES: Final = (1, 5, 25, 50, 75, 95, 99)
LEAST, MOST_SAMPLES = 2, 1_000_000
_CELLS: Final = 2_000_000  # numbers drawn at once, so that memory does not grow with the samples


class Method(StrEnum):
    """What is drawn."""

    SHUFFLE = "shuffle"  # the trades in another order
    BOOTSTRAP = "bootstrap"  # trades with replacement
    BLOCKS = "blocks"  # blocks of consecutive per-bar returns with replacement


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to draw: how many samples, from which seed, at what loss an account counts as ruined."""

    method: Method
    samples: int = 1000
    seed: int = 0
    ruin: float = 0.5  # of the starting money lost, at any instant
    block: int | None = None  # returns in a block; None: the cube root of how many there are
    additive: bool = False  # a step adds money instead of multiplying it: for sizes that do not grow with the account

    def __post_init__(self) -> None:
        """Raises Refused with every problem found."""
        found = []
        if not 1 <= self.samples <= MOST_SAMPLES:
            found.append(_problem("samples", self.samples, f"must be from 1 to {MOST_SAMPLES}", "use 1000"))
        if not 0 < self.ruin <= 1:
            found.append(_problem("ruin", self.ruin, "must be above 0 and at most 1", "use 0.5 for half of the money"))
        if self.block is not None and self.block < 1:
            found.append(_problem("block", self.block, "must be at least 1", "leave it out"))
        if self.seed < 0:
            found.append(_problem("seed", self.seed, "must not be negative", "use 1"))
        if found:
            raise Refused(*found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Significance:
    """Whether the mean step could be luck: `p_value` is the chance of a mean at least this high were the true one 0.

    `low` and `high` hold 95 % of the means of the samples; None where the method does not tell.
    """

    mean: float
    p_value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the samples amount to, beside what was observed."""

    plan: Plan
    steps: int  # trades or bars in every sample
    block: int  # steps in a block, 1 without blocks
    final_equity: float  # observed
    max_drawdown_pct: float  # observed
    final_equities: dict[int, float]  # by percentile
    max_drawdowns_pct: dict[int, float]
    mean_final_equity: float
    probability_of_loss: float
    probability_of_ruin: float
    probability_of_deeper_drawdown: float  # share of samples whose drawdown is at least the observed one
    standard_error: float  # at most, of each probability: they are counts among so many samples
    significance: Significance

    def as_json(self) -> dict[str, Any]:
        """Return everything with plain keys and numbers."""
        return {
            "method": str(self.plan.method),
            "samples": self.plan.samples,
            "seed": self.plan.seed,
            "additive": self.plan.additive,
            "steps": self.steps,
            "block": self.block,
            "final_equity": self.final_equity,
            "max_drawdown_pct": self.max_drawdown_pct,
            "final_equities": {str(key): value for key, value in self.final_equities.items()},
            "max_drawdowns_pct": {str(key): value for key, value in self.max_drawdowns_pct.items()},
            "mean_final_equity": self.mean_final_equity,
            "probability_of_loss": self.probability_of_loss,
            "ruin": self.plan.ruin,
            "probability_of_ruin": self.probability_of_ruin,
            "probability_of_deeper_drawdown": self.probability_of_deeper_drawdown,
            "standard_error": self.standard_error,
            "mean": self.significance.mean,
            "p_value": self.significance.p_value,
            "mean_low": self.significance.low,
            "mean_high": self.significance.high,
        }


def trade_steps(pnls: Floats, cash: float, *, additive: bool = False) -> Floats:
    """Return what each trade did to an account that began with `cash`: rates of its money then, or money if additive.

    `pnls` are profits after all costs in the order the trades were closed. Raises Refused when the money ran out.
    """
    if additive:
        return np.asarray(pnls, np.float64) / cash
    before = cash + np.concatenate(([0.0], np.cumsum(pnls)[:-1])) if len(pnls) else np.empty(0)
    if (before <= 0).any():
        rule = f"the account was empty before trade {int(np.argmax(before <= 0)) + 1}"
        raise Refused(_problem("trades", len(pnls), rule, "use additive steps"))
    return np.asarray(pnls, np.float64) / before


def bar_steps(equity: Floats, cash: float) -> Floats:
    """Return the rate of change of the equity over each bar, the first from `cash`. Raises Refused at zero equity."""
    before = np.concatenate(([cash], equity[:-1]))
    if (before <= 0).any():
        rule = f"is not above zero after bar {int(np.argmax(before <= 0)) - 1}"
        raise Refused(_problem("equity", float(equity.min()), rule, "look at the run: nothing can be multiplied"))
    return np.asarray(equity / before - 1.0, np.float64)


def simulate(
    steps: Floats, cash: float, plan: Plan, *, progress: Callable[[float], None] = lambda share: None
) -> Outcome:
    """Draw samples of `steps` (of `trade_steps` or `bar_steps`) for an account that begins with `cash`.

    Calls `progress` with the share that is done. Raises Refused for fewer than two steps or one that is no number.
    """
    _check(steps, cash)
    block = _block(plan, len(steps))
    finals, falls, lows = np.empty(plan.samples), np.empty(plan.samples), np.empty(plan.samples)
    chance = np.random.default_rng([plan.seed, 1])
    for part in _parts(plan.samples, len(steps)):
        drawn = _draw(chance, steps, part.stop - part.start, plan.method, block)
        finals[part], falls[part], lows[part] = _walks(drawn, additive=plan.additive)
        progress(part.stop / plan.samples)
    (final,), (fall,), _ = _walks(steps[None, :], additive=plan.additive)
    return Outcome(
        plan=plan,
        steps=len(steps),
        block=block,
        final_equity=float(cash * final),
        max_drawdown_pct=float(100 * fall),
        final_equities=_percentiles(cash * finals),
        max_drawdowns_pct=_percentiles(100 * falls),
        mean_final_equity=float(cash * finals.mean()),
        # A shuffle multiplies the same numbers in another order, which differs by rounding alone.
        probability_of_loss=float((finals < 1 - 1e-12).mean()),
        probability_of_ruin=float((lows <= 1 - plan.ruin).mean()),
        probability_of_deeper_drawdown=float((falls >= fall * (1 - 1e-12)).mean()),
        standard_error=0.5 / math.sqrt(plan.samples),
        significance=_significance(steps, plan, block),
    )


def _walks(drawn: Floats, *, additive: bool) -> tuple[Floats, Floats, Floats]:
    """Return the end, the deepest drawdown and the lowest point of each row, the money at the start being 1.

    An account that has come to nothing stays there.
    """
    if additive:
        money: Floats = 1.0 + np.cumsum(drawn, axis=1)
        broke = np.logical_or.accumulate(money <= 0, axis=1)
        money[broke] = 0.0
    else:
        money = np.asarray(np.cumprod(np.maximum(1.0 + drawn, 0.0), axis=1), np.float64)
    peaks = np.maximum(np.maximum.accumulate(money, axis=1), 1.0)
    lows = np.minimum(money.min(axis=1), 1.0)
    ends = money[:, -1].copy()
    np.divide(money, peaks, out=money)
    return ends, np.maximum(1.0 - money.min(axis=1), 0.0), lows


def _draw(chance: np.random.Generator, steps: Floats, rows: int, method: Method, block: int) -> Floats:
    size = len(steps)
    if method == Method.SHUFFLE:
        return chance.permuted(np.broadcast_to(steps, (rows, size)), axis=1)
    if method == Method.BOOTSTRAP:
        return steps[chance.integers(0, size, (rows, size))]
    starts = chance.integers(0, size, (rows, -(-size // block)))
    # The steps are a ring: a block that begins near the end goes on at the beginning, so that none is drawn less often.
    ring = np.concatenate((steps, steps[: block - 1]))
    windows = np.lib.stride_tricks.sliding_window_view(ring, block)
    return windows[starts].reshape(rows, -1)[:, :size]


def _significance(steps: Floats, plan: Plan, block: int) -> Significance:
    """Test the mean: sign flips for shuffled trades, else samples drawn from the steps moved to a mean of zero.

    One is added to both counts, so that no finite number of samples proves a chance of zero (Davison and Hinkley 1997).
    """
    mean = float(steps.mean())
    chance = np.random.default_rng([plan.seed, 2])
    means = np.empty(plan.samples)
    for part in _parts(plan.samples, len(steps)):
        rows = part.stop - part.start
        if plan.method == Method.SHUFFLE:
            signs = 2.0 * chance.integers(0, 2, (rows, len(steps))) - 1.0
            means[part] = (signs @ steps) / len(steps)
        else:
            means[part] = _draw(chance, steps, rows, plan.method, block).mean(axis=1)
    flipped = plan.method == Method.SHUFFLE
    null = means if flipped else means - mean
    # A mean that differs by rounding alone counts as equal.
    reached = int((null >= mean - 1e-12 * max(abs(mean), float(np.abs(steps).mean()))).sum())
    low, high = (None, None) if flipped else map(float, np.percentile(means, (2.5, 97.5)))
    return Significance(mean=mean, p_value=(reached + 1) / (plan.samples + 1), low=low, high=high)


def _parts(samples: int, size: int) -> Iterator[slice]:
    rows = max(1, _CELLS // size)
    for start in range(0, samples, rows):
        yield slice(start, min(start + rows, samples))


def _block(plan: Plan, size: int) -> int:
    """Return the length of a block; the cube root is the order of the best one for a mean (Hall and others 1995)."""
    if plan.method != Method.BLOCKS:
        return 1
    return min(plan.block or max(1, round(size ** (1 / 3))), size)


def _percentiles(values: Floats) -> dict[int, float]:
    return dict(zip(PERCENTILES, map(float, np.percentile(values, PERCENTILES)), strict=True))


def _check(steps: Floats, cash: float) -> None:
    if len(steps) < LEAST:
        raise Refused(_problem("steps", len(steps), f"must be at least {LEAST} trades or bars", "use a longer period"))
    if not (math.isfinite(cash) and cash > 0):
        raise Refused(_problem("cash", cash, "must be a number above 0", "use 100000"))
    if not np.isfinite(steps).all():
        where = int(np.argmin(np.isfinite(steps)))
        raise Refused(_problem("steps", float(steps[where]), f"step {where} is no number", "look at the run"))


def _problem(field: str, value: object, rule: str, remedy: str) -> Problem:
    return Problem(field=field, value=str(value), rule=rule, remedy=remedy)
