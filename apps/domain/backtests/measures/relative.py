"""How a curve compares with a benchmark on the same bars: what moved with it, and what was earned beside it."""

import math
from typing import Any

import numpy as np

from apps.domain.backtests.measures import curve, plain, ratios, sampling
from apps.domain.backtests.measures.plain import percent, ratio
from apps.domain.backtests.measures.sampling import Ints, Sampled
from apps.domain.strategies.contract import Floats


def of(at: Ints, sampled: Sampled, benchmark: Floats, *, returned: float, risk_free: float) -> dict[str, Any]:
    """Compare sampled returns with those of `benchmark` (a value per bar); `returned` is the curve's total return."""
    theirs = sampling.returns_at(benchmark, sampled.bars)
    ours, a_year = sampled.returns, sampled.a_year
    hurdle = plain.power(1.0 + risk_free, 1.0 / a_year) - 1.0
    beta = ratio(ratios.covariance(ours, theirs), ratios.covariance(theirs, theirs))
    alpha = plain.mean(ours - hurdle) - beta * plain.mean(theirs - hurdle)
    total = ratio(float(benchmark[-1]), float(benchmark[0])) - 1.0
    active = ours - theirs
    linked = ratios.correlation(ours, theirs)
    return {
        "benchmark_return_pct": percent(total),
        "benchmark_cagr_pct": percent(cagr(at, 1.0 + total)),
        "benchmark_sharpe": ratios.headline(theirs - hurdle, a_year)["sharpe"],
        "benchmark_max_drawdown_pct": percent(curve.of(at, benchmark).deepest),
        "excess_return_pct": percent(returned - total),
        "alpha_pct": percent(alpha * a_year),
        "alpha_total_pct": percent(returned - risk_free - _log_beta(sampled, theirs) * (total - risk_free)),
        "beta": beta,
        "correlation": linked,
        "r_squared": linked**2,
        "tracking_error_pct": percent(ratios.deviation(active) * math.sqrt(a_year)),
        "information_ratio": ratio(plain.mean(active), ratios.deviation(active)) * math.sqrt(a_year),
        "treynor_pct": percent(ratio(returned - risk_free, beta)),
        "up_capture_pct": _capture(ours, theirs, theirs > 0),
        "down_capture_pct": _capture(ours, theirs, theirs < 0),
    }


def cagr(at: Ints, grown: float) -> float:
    """Return the growth per calendar year; NaN for less than a week, of which a year cannot be told."""
    years = float(at[-1] - at[0]) / sampling.YEAR
    return plain.power(grown, 1.0 / years) - 1.0 if years >= 7 * sampling.DAY / sampling.YEAR else plain.NAN


def _log_beta(sampled: Sampled, theirs: Floats) -> float:
    """Return the beta of logarithmic returns, which some engines multiply total returns with."""
    ours = sampled.returns
    if not len(ours) or float(np.min(ours)) <= -1.0 or float(np.min(theirs)) <= -1.0:
        return plain.NAN
    x, y = np.log1p(theirs), np.log1p(ours)
    return ratio(ratios.covariance(y, x), ratios.covariance(x, x))


def _capture(ours: Floats, theirs: Floats, when: Any) -> float:
    return percent(ratio(ratios.geometric_mean(ours[when]), ratios.geometric_mean(theirs[when])))
