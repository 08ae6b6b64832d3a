"""How far is the best of many trials to be believed? Its figures and critique, told how many there were."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from apps.backtests import plain
from apps.backtests.models import Trial
from apps.backtests.services.benches import Bench
from apps.domain.backtests import attempts, critique, statistics
from apps.domain.backtests.attempts import Answer
from apps.domain.backtests.conventions import Order
from apps.domain.backtests.measures import sampling
from apps.domain.backtests.result import Result
from apps.domain.strategies import contract
from apps.domain.strategies.contract import Candles


def best_of_many(bench: Bench, best: Trial, known: Sequence[Trial], *, parameters: int) -> dict[str, Any]:
    """Return statistics, critique and bounds of the best trial; `parameters` is how many were searched."""
    loaded, seconds = bench.loaded, bench.loaded.bar_seconds
    strategy = contract.build(bench.plugin, best.parameters)
    answer = attempts.asked(strategy, loaded.candles)
    result = _run(bench, answer, strategy.warmup)
    sharpes = [row.measures["sharpe"] for row in known if row.measures and row.measures.get("sharpe") is not None]
    sampled = sampling.of(result.at, result.equity, seconds)
    told = statistics.of(
        result,
        loaded.candles,
        bar_seconds=seconds,
        trials=max(len(sharpes), 1),
        trial_variance=_variance(sharpes, sampled.a_year),
    )
    span = (int(result.at[0]), int(result.at[-1]) + seconds)
    bounds = both_orders(bench, result, answer, loaded.candles, strategy.warmup)
    context = critique.Context(
        parameter_count=parameters,
        trials_searched=len(known),
        searched_spans=(span,),
        tested_span=span,
        missing_bars=loaded.missing_bars,
        candles=loaded.candles,
        bounds=bounds,
        seed=bench.conventions.seed,
    )
    return {
        "statistics": plain.numbers(told),
        "critique": [plain.numbers(remark.as_json()) for remark in critique.of(result, told, context)],
        "bounds": plain.numbers(critique.bounds_json(*bounds)),
    }


def both_orders(
    bench: Bench, result: Result, answer: Answer, candles: tuple[Candles, ...], warmup: int
) -> tuple[Result, Result]:
    """Return the run with the stop first and with the target first; one and the same where no bar held both."""
    if not result.ambiguous_bars:
        return result, result
    detail = bench.loaded.detail
    first, second = (
        attempts.run(answer, candles, replace(result.conventions, order=order), detail=detail, warmup=warmup)
        for order in (Order.STOP, Order.TARGET)
    )
    return first, second


def _run(bench: Bench, answer: Answer, warmup: int) -> Result:
    loaded = bench.loaded
    return attempts.run(answer, loaded.candles, bench.conventions, detail=loaded.detail, warmup=warmup, exposure=True)


def _variance(sharpes: Sequence[float], a_year: float) -> float | None:
    """Return the variance of the trials' Sharpe ratios per return, from those a year."""
    return float(np.var(sharpes, ddof=1)) / a_year if len(sharpes) > 1 and a_year > 0 else None
