"""What is a finished backtest worth, in figures? `core` is what a search needs, `of` is everything a report shows.

Every key is a row of docs/statistics.md with its meaning, unit, formula and source. A figure that does not exist (a
ratio without trades, an annual rate of three days) is None, never NaN.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from apps.domain.backtests.measures import costs, curve, months, plain, ratios, relative, rounds, sampling
from apps.domain.backtests.measures.curve import Curve
from apps.domain.backtests.measures.plain import Figure, percent, ratio
from apps.domain.backtests.measures.sampling import DAY, Sampled
from apps.domain.backtests.result import Result
from apps.domain.strategies.contract import Candles, Floats

SIMPLE_YEAR = 252.0


def core(result: Result, *, bar_seconds: float | None = None, risk_free: float = 0.0) -> dict[str, Figure]:
    """Return the cheap figures, those a search compares; the same keys and values as in `of`. Needs one bar."""
    return plain.figures(_core(result, curve.of(result.at, result.equity), _sample(result, bar_seconds), risk_free))


def of(
    result: Result,
    candles: Candles | Sequence[Candles],
    *,
    bar_seconds: float | None = None,
    benchmark: Floats | None = None,
    risk_free: float = 0.0,
    trials: int = 1,
    trial_variance: float | None = None,
) -> dict[str, Figure]:
    """Return every figure, in the order of the report. Needs one bar.

    `benchmark` is a value per bar; without it the instruments themselves, bought in equal parts at the first close and
    held. `risk_free` is a rate a year. `trials` is how many parameter sets were tried before this one was chosen, and
    `trial_variance` the variance of their Sharpe ratios per sampled return.
    """
    series = (candles,) if isinstance(candles, Candles) else tuple(candles)
    sampled, walked = _sample(result, bar_seconds), curve.of(result.at, result.equity)
    held = buy_and_hold(series)
    excess = sampled.returns - (plain.power(1.0 + risk_free, 1.0 / sampled.a_year) - 1.0)
    measured = _core(result, walked, sampled, risk_free)
    returned = measured["return_pct"] / 100.0
    rivals = relative.of(
        result.at, sampled, held if benchmark is None else benchmark, returned=returned, risk_free=risk_free
    )
    found = {
        **_span(result, sampled, bar_seconds),
        **measured,
        **_account(result, walked, held),
        **ratios.of(sampled.returns, sampled.a_year, risk_free),
        **ratios.shape(excess, sampled.a_year, trials, trial_variance),
        **_drawdowns(result, walked, measured, sampled),
        **months.of(result.at, result.equity),
        "benchmark": "buy and hold" if benchmark is None else "given",
        **rivals,
        **rounds.of(result),
        **costs.of(result, series, years=_years(result)),
    }
    return plain.figures(found)


def buy_and_hold(candles: Sequence[Candles]) -> Floats:
    """Return what one unit of money becomes, bought in equal parts at the first close and held, without costs."""
    return np.asarray(np.mean([one.close / one.close[0] for one in candles], axis=0), dtype=np.float64)


def _core(result: Result, walked: Curve, sampled: Sampled, risk_free: float) -> dict[str, Any]:
    returned = ratio(result.final_equity, result.conventions.cash) - 1.0
    hurdle = plain.power(1.0 + risk_free, 1.0 / sampled.a_year) - 1.0
    cagr = relative.cagr(result.at, 1.0 + returned)
    return {
        "final_equity": result.final_equity,
        "return_pct": percent(returned),
        "cagr_pct": percent(cagr),
        "max_drawdown_pct": percent(walked.deepest),
        "calmar": ratio(cagr, walked.deepest),
        "sharpe_simple_252": _per_bar(walked, len(result.equity)) * math.sqrt(SIMPLE_YEAR),
        **ratios.headline(sampled.returns - hurdle, sampled.a_year),
        "exposure_pct": percent(ratio(rounds.bars_held(result), len(result.at))),
        **rounds.headline(result),
    }


def _per_bar(walked: Curve, bars: int) -> float:
    """Return mean over deviation of the returns per bar, from the sums of the one pass."""
    count = bars - 1
    if count < 2:
        return plain.NAN
    average = walked.return_sum / count
    variance = (walked.return_squares - count * average**2) / (count - 1)
    return ratio(average, math.sqrt(variance)) if variance > 1e-28 else plain.NAN


def _sample(result: Result, bar_seconds: float | None) -> Sampled:
    return sampling.of(result.at, result.equity, bar_seconds or sampling.bar_seconds_of(result.at))


def _years(result: Result) -> float:
    return float(result.at[-1] - result.at[0]) / sampling.YEAR


def _span(result: Result, sampled: Sampled, bar_seconds: float | None) -> dict[str, Any]:
    return {
        "start": _when(result.at[0]),
        "end": _when(result.at[-1]),
        "duration_days": float(result.at[-1] - result.at[0]) / DAY,
        "bars": len(result.at),
        "bar_seconds": bar_seconds or sampling.bar_seconds_of(result.at),
        "sampled_by": sampled.every,
        "samples": len(sampled.returns),
        "samples_a_year": sampled.a_year,
    }


def _account(result: Result, walked: Curve, held: Floats) -> dict[str, Any]:
    return {
        "start_equity": result.conventions.cash,
        "peak_equity": walked.peak,
        "lowest_equity": walked.lowest,
        "net_profit": result.final_equity - result.conventions.cash,
        "buy_and_hold_return_pct": percent(float(held[-1]) - 1.0),
        "average_exposure_pct": percent(plain.mean(result.exposure) if result.exposure is not None else plain.NAN),
    }


def _drawdowns(result: Result, walked: Curve, measured: dict[str, Any], sampled: Sampled) -> dict[str, Any]:
    bars, at = len(result.equity), result.at
    ulcer = math.sqrt(walked.depth_squares / bars)
    recovery = ratio(measured["return_pct"], measured["max_drawdown_pct"])
    depths = curve.depths(result.equity[sampled.bars])
    deep = depths[depths >= np.quantile(depths, 1.0 - ratios.TAIL)]
    pitfall = ratio(plain.mean(deep), ratios.deviation(sampled.returns))
    return {
        "drawdowns": walked.falls,
        "average_drawdown_pct": percent(ratio(walked.depth_sum, walked.falls)),
        "max_drawdown_from": _when(at[walked.deepest_from]) if walked.deepest else None,
        "max_drawdown_at": _when(at[walked.deepest_at]) if walked.deepest else None,
        "longest_drawdown_days": walked.seconds_longest / DAY if walked.falls else plain.NAN,
        "average_drawdown_days": ratio(walked.seconds_sum, walked.falls) / DAY,
        "current_drawdown_pct": percent(1.0 - ratio(result.final_equity, walked.peak)),
        "under_water_pct": percent(walked.under_water / bars),
        "pain_index_pct": percent(walked.depth_total / bars),
        "ulcer_index_pct": percent(ulcer),
        "martin": ratio(measured["cagr_pct"] / 100.0, ulcer),
        "serenity": ratio(float(sampled.returns.sum()), ulcer * pitfall),
        "recovery_factor": recovery,
    }


def _when(second: Any) -> str:
    return datetime.fromtimestamp(int(second), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
