"""Could it be chance? Resampled trades, entries at random times, and the best of many trials. Seeded, so repeatable."""

import math
from statistics import NormalDist

import numpy as np

from apps.domain.backtests.measures import ratios, rounds
from apps.domain.backtests.remarks import Case, Remark, graded
from apps.domain.strategies.contract import Floats

DRAWS = 2_000
RANDOM_RUNS = 500
# Above this many trades the mean is normal for every purpose here, and resampling would only cost time.
RESAMPLED_TRADES = 1_000
FEWEST_TRADES = 5
CHANCE_AMBER, CHANCE_RED = 0.05, 0.20
RANDOM_AMBER = 0.05
DEFLATED_AMBER, DEFLATED_RED = 0.95, 0.50


def loses(case: Case) -> Remark | None:
    """A loss needs no test for luck."""
    returned = case.figure("return_pct")
    if not case.result.closed_trades:
        return None
    return graded(
        "loses-money",
        -returned,
        (None, 0.0),
        f"The account ends {-returned:,.2f} % below where it began.",
        "Do not trade it as it is.",
    )


def luck_band(case: Case) -> Remark | None:
    """Trades whose mean is no further from zero than resampling moves it."""
    each = rounds.rates(case.result.trades)
    if len(each) < FEWEST_TRADES or float(each.mean()) <= 0:
        return None
    single = chance_of_mean(each, case.context.seed)
    tried = max(case.context.trials_searched, 1)
    chance = 1.0 - (1.0 - single) ** tried
    among = f", the best of {tried:,} trials," if tried > 1 else ""
    return graded(
        "luck-band",
        chance,
        (CHANCE_AMBER, CHANCE_RED),
        f"Trades without any edge{among} would do as well with a chance of {chance:.1%}; "
        f"below {CHANCE_AMBER:.0%} is asked for.",
        "Collect more trades before believing the mean; a good Monte Carlo run shows the same band.",
    )


def chance_of_mean(each: Floats, seed: int) -> float:
    """Return how likely trades of this spread, centred on zero, average as much as these did (bootstrap)."""
    mean, spread = float(each.mean()), ratios.deviation(each)
    if not spread > 0:
        return 0.0 if mean > 0 else 1.0
    if len(each) > RESAMPLED_TRADES:
        return NormalDist().cdf(-mean / spread * math.sqrt(len(each)))
    draws = np.random.default_rng(seed).integers(len(each), size=(DRAWS, len(each)))
    means = (each - mean)[draws].mean(axis=1)
    return float((np.count_nonzero(means >= mean) + 1) / (DRAWS + 1))


def random_entries(case: Case) -> Remark | None:
    """The same number of trades of the same lengths, entered at random times, do as well."""
    trades = case.result.trades
    if not case.context.candles or not FEWEST_TRADES <= trades.closed <= RESAMPLED_TRADES * 10:
        return None
    chance = chance_of_timing(case)
    return graded(
        "random-entry",
        chance,
        (RANDOM_AMBER, None),
        f"{chance:.1%} of runs with the same trades entered at random times did as well; "
        f"below {RANDOM_AMBER:.0%} the timing is worth something.",
        "Compare with buy and hold: what is earned may be the market's drift, not the signal.",
    )


def chance_of_timing(case: Case) -> float:
    """Return the share of random runs, before costs, whose compounded trades beat the real ones, before costs."""
    trades, rng = case.result.trades, np.random.default_rng(case.context.seed + 1)
    moved = trades.exit_price / trades.entry_price - 1.0
    real = _compounded(trades.side * moved)
    better = 0
    held = np.maximum(trades.exit_bar - trades.entry_bar, 1)
    closes = [one.close for one in case.context.candles]
    for _ in range(RANDOM_RUNS):
        rates = np.zeros(trades.closed)
        for number, close in enumerate(closes):
            chosen = np.minimum(held[trades.instrument == number], len(close) - 1)
            began = rng.integers(0, len(close) - chosen) if len(chosen) else chosen
            rates[trades.instrument == number] = close[began + chosen] / close[began] - 1.0
        better += _compounded(trades.side * rates) >= real
    return (better + 1) / (RANDOM_RUNS + 1)


def best_of_many(case: Case) -> Remark | None:
    """A Sharpe ratio that the luckiest of so many trials would have shown as well."""
    found = case.statistics.get("sharpe_deflated_pct")
    if not isinstance(found, float):
        return None
    sure = found / 100.0
    return graded(
        "best-of-many",
        1.0 - sure,
        (1.0 - DEFLATED_AMBER, 1.0 - DEFLATED_RED),
        f"After {case.figure('trials'):,.0f} trials the Sharpe ratio is above that of the luckiest with a certainty of "
        f"{sure:.1%} only; {DEFLATED_AMBER:.0%} is asked for.",
        "Search fewer sets, or confirm the chosen one on unseen data.",
    )


def _compounded(rates: Floats) -> float:
    return float(np.sum(np.log(np.maximum(1.0 + rates, 1e-9))))
