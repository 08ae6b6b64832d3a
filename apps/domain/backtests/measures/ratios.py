"""What the returns of a curve say: reward for risk, tails, shape, and how sure the Sharpe ratio is.

Returns are simple, sampled as `sampling` decides. Sources are named in docs/statistics.md, one row per key.
"""

import math
from statistics import NormalDist
from typing import Any

import numpy as np

from apps.domain.backtests.measures import plain
from apps.domain.backtests.measures.plain import NAN, percent, ratio
from apps.domain.strategies.contract import Floats

_NORMAL = NormalDist()
EULER_MASCHERONI = 0.5772156649015329
TAIL = 0.05
OUTLIER = 0.01


def of(returns: Floats, a_year: float, risk_free: float) -> dict[str, Any]:
    """Measure returns of which `a_year` make a year; `risk_free` is a simple rate a year."""
    excess = returns - (plain.power(1.0 + risk_free, 1.0 / a_year) - 1.0)
    return {**headline(excess, a_year), **_compounded(returns, a_year, risk_free), **_gains(returns), **_tails(returns)}


def headline(excess: Floats, a_year: float) -> dict[str, Any]:
    """The ratios of reward to risk that a search may be asked to maximise; returns are above the risk-free rate."""
    root = math.sqrt(a_year)
    average, spread = plain.mean(excess), deviation(excess)
    downside = _downside(excess)
    return {
        "annual_volatility_pct": percent(spread * root),
        "sharpe": ratio(average, spread) * root,
        "sortino": ratio(average, downside) * root,
    }


def shape(excess: Floats, a_year: float, trials: int, trial_variance: float | None) -> dict[str, Any]:
    """Judge the Sharpe ratio: is it above zero, and above the best of `trials` lucky ones?

    `trial_variance` is the variance of the Sharpe ratios per return over the trials; without it that of an estimate
    whose truth is zero stands in.
    """
    count = len(excess)
    sharpe = ratio(plain.mean(excess), deviation(excess))
    skew, kurtosis = skewness(excess), excess_kurtosis(excess)
    variance = trial_variance if trial_variance is not None else ratio(1.0, count - 1.0)
    hurdle = math.sqrt(variance) * _best_of(trials) if trials > 1 else NAN
    penalty = _autocorrelation_penalty(excess)
    sortino = ratio(plain.mean(excess), _downside(excess)) * math.sqrt(a_year)
    return {
        "sharpe_smart": ratio(sharpe * math.sqrt(a_year), penalty),
        "sortino_smart": ratio(sortino, penalty),
        "sortino_halved": sortino / math.sqrt(2.0),
        "sharpe_probabilistic_pct": percent(_surely_above(sharpe, 0.0, count, skew, kurtosis)),
        "sharpe_deflated_pct": percent(_surely_above(sharpe, hurdle, count, skew, kurtosis)),
        "trials": trials,
        "skew": skew,
        "kurtosis": kurtosis,
        "autocorrelation": correlation(excess[:-1], excess[1:]),
    }


def _compounded(returns: Floats, a_year: float, risk_free: float) -> dict[str, Any]:
    """The annual return and volatility of compounding, whose quotient some engines call the Sharpe ratio."""
    mean_return = geometric_mean(returns)
    annual = plain.power(1.0 + mean_return, a_year) - 1.0
    spread = deviation(returns)
    squared = plain.power(spread**2 + (1.0 + mean_return) ** 2, a_year) - plain.power(1.0 + mean_return, 2.0 * a_year)
    volatility = math.sqrt(squared) if squared >= 0 else NAN
    return {
        "annual_return_pct": percent(annual),
        "compounded_volatility_pct": percent(volatility),
        "sharpe_geometric": ratio(annual - risk_free, volatility),
        "sortino_geometric": ratio(annual - risk_free, _downside(returns) * math.sqrt(a_year)),
        "expected_return_pct": percent(mean_return),
    }


def _gains(returns: Floats) -> dict[str, Any]:
    """Compare what the good periods brought with what the bad ones took."""
    good, bad = returns[returns > 0], returns[returns < 0]
    gain, pain = float(good.sum()), -float(bad.sum())
    moved = len(good) + len(bad)
    won = ratio(len(good), moved)
    payoff = ratio(plain.mean(good), -plain.mean(bad))
    factor, tail = ratio(gain, pain), _tail_ratio(returns)
    return {
        "omega": factor,
        "gain_to_pain": ratio(gain - pain, pain),
        "payoff_ratio_returns": payoff,
        "common_sense_ratio": factor * tail,
        "cpc_index": factor * won * payoff,
        "kelly_returns_pct": percent(won - ratio(1.0 - won, payoff)),
        "risk_of_ruin_pct": percent(((1.0 - won) / (1.0 + won)) ** len(returns)) if moved else NAN,
        "longest_winning_run": longest_run(returns > 0),
        "longest_losing_run": longest_run(returns < 0),
    }


def _tails(returns: Floats) -> dict[str, Any]:
    """Describe the worst and best of the returns."""
    low, lower = _quantile(returns, TAIL), _quantile(returns, OUTLIER)
    good, bad = returns[returns >= 0], returns[returns < 0]
    beyond = returns[returns <= low] if len(returns) else returns
    normal = plain.mean(returns) + _NORMAL.inv_cdf(TAIL) * deviation(returns)
    return {
        "value_at_risk_pct": percent(-low),
        "value_at_risk_normal_pct": percent(-normal),
        "conditional_value_at_risk_pct": percent(-plain.mean(beyond)),
        "tail_ratio": _tail_ratio(returns),
        "outlier_win_ratio": ratio(_quantile(returns, 1.0 - OUTLIER), plain.mean(good)),
        "outlier_loss_ratio": ratio(lower, plain.mean(bad)),
    }


def deviation(values: Floats) -> float:
    """Return the sample standard deviation; 0 for a curve whose returns differ by rounding alone."""
    if len(values) < 2:
        return NAN
    found = float(np.std(values, ddof=1))
    return found if found > 1e-14 else 0.0


def geometric_mean(returns: Floats) -> float:
    """Return the return per period that compounds to the same end; -1 when nothing was left."""
    if not len(returns):
        return NAN
    if float(np.min(returns)) <= -1.0:
        return -1.0
    return math.expm1(float(np.log1p(returns).sum()) / len(returns))


def correlation(one: Floats, other: Floats) -> float:
    spreads = deviation(one) * deviation(other)
    if len(one) < 2 or not spreads > 0:
        return NAN
    return covariance(one, other) / spreads


def covariance(one: Floats, other: Floats) -> float:
    if len(one) < 2:
        return NAN
    return float(np.dot(one - one.mean(), other - other.mean())) / (len(one) - 1)


def skewness(values: Floats) -> float:
    """Return the sample skewness, corrected for the size of the sample."""
    count = len(values)
    if count < 3 or not deviation(values) > 0:
        return NAN
    centred = values - values.mean()
    second, third = float(np.mean(centred**2)), float(np.mean(centred**3))
    return third / math.pow(second, 1.5) * math.sqrt(count * (count - 1.0)) / (count - 2.0)


def excess_kurtosis(values: Floats) -> float:
    """Return the sample kurtosis above that of the normal distribution, corrected for the size of the sample."""
    count = len(values)
    if count < 4 or not deviation(values) > 0:
        return NAN
    centred = values - values.mean()
    plain_excess = float(np.mean(centred**4)) / float(np.mean(np.square(centred))) ** 2 - 3.0
    return (count - 1.0) / ((count - 2.0) * (count - 3.0)) * ((count + 1.0) * plain_excess + 6.0)


def longest_run(hits: Any) -> int:
    """Return the most hits in a row."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], hits, [False])).astype(np.int8)))
    return int(np.max(edges[1::2] - edges[::2], initial=0))


def _downside(returns: Floats) -> float:
    return math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2))) if len(returns) else NAN


def _quantile(returns: Floats, share: float) -> float:
    return float(np.quantile(returns, share)) if len(returns) else NAN


def _tail_ratio(returns: Floats) -> float:
    return abs(ratio(_quantile(returns, 1.0 - TAIL), _quantile(returns, TAIL)))


def _autocorrelation_penalty(returns: Floats) -> float:
    """How much a Sharpe ratio is flattered by returns that follow each other."""
    coefficient = abs(correlation(returns[:-1], returns[1:]))
    if math.isnan(coefficient):
        return 1.0
    lags = np.arange(1, len(returns))
    # Past this the terms are below what a float adds to one, and a long curve would cost its length for nothing.
    lags = lags[:2000]
    return math.sqrt(1.0 + 2.0 * float(np.sum((1.0 - lags / len(returns)) * coefficient**lags)))


def _surely_above(sharpe: float, hurdle: float, count: int, skew: float, kurtosis: float) -> float:
    """Return how likely the true Sharpe ratio is above the hurdle, both per return."""
    spread = 1.0 - skew * sharpe + (kurtosis + 2.0) / 4.0 * sharpe**2
    if count < 2 or not spread > 0 or math.isnan(hurdle):
        return NAN
    return _NORMAL.cdf((sharpe - hurdle) * math.sqrt((count - 1.0) / spread))


def _best_of(trials: int) -> float:
    """Return how many deviations the best of so many draws around zero lies above it, on average."""
    one = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    other = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return (1.0 - EULER_MASCHERONI) * one + EULER_MASCHERONI * other
