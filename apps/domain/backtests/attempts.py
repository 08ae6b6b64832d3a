"""What one set of parameters amounts to: the strategy is asked, the engine runs, and the figures of a search remain."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from apps.domain.backtests import engine, statistics
from apps.domain.backtests.conventions import Conventions
from apps.domain.backtests.measures.plain import Figure
from apps.domain.backtests.result import Result
from apps.domain.strategies import contract
from apps.domain.strategies.contract import Candles, ExitPlan, Several, Strategy

Signals = npt.NDArray[np.int8] | npt.NDArray[np.float64]


class BadAnswer(ValueError):
    """A strategy answered with something that is neither stances nor weights; the sentence says what."""


class Answer(NamedTuple):
    """What a strategy wants on each bar (a column per instrument when there are several), and its own ways out."""

    signals: Signals
    plan: ExitPlan | None


def asked(strategy: Strategy, series: Sequence[Candles]) -> Answer:
    """Ask a strategy about every bar. Raises BadAnswer, Refused, and whatever the plug-in raises."""
    if isinstance(strategy, Several):
        return Answer(_checked(strategy.weights_of(series), _shape(series), weights=True), None)
    if len(series) > 1:
        return Answer(cast(Signals, np.column_stack([_one(strategy, each) for each in series])), None)
    return Answer(_one(strategy, series[0]), strategy.exit_plan(series[0]))


def measured(
    plugin: type[Strategy],
    parameters: Mapping[str, Any],
    series: Sequence[Candles],
    conventions: Conventions,
    *,
    bar_seconds: float,
    detail: Candles | None = None,
) -> dict[str, Figure]:
    """Return the figures of one backtest, without what a report needs besides."""
    strategy = contract.build(plugin, parameters)
    result = run(asked(strategy, series), series, conventions, detail=detail, warmup=strategy.warmup)
    return statistics.core(result, bar_seconds=bar_seconds)


def run(
    answer: Answer,
    series: Sequence[Candles],
    conventions: Conventions,
    *,
    detail: Candles | None = None,
    warmup: int = 0,
    exposure: bool = False,
) -> Result:
    """Run the engine on what a strategy answered; `warmup` is how many bars its first stance needs."""
    candles = series[0] if len(series) == 1 else series
    return engine.run(
        candles, answer.signals, conventions, plan=answer.plan, detail=detail, warmup=warmup, exposure=exposure
    )


def cut(series: Sequence[Candles], start: int, stop: int) -> tuple[Candles, ...]:
    """Return bars [start, stop) of every instrument, without a copy."""
    return tuple(Candles._make(part[start:stop] for part in one) for one in series)


def _shape(series: Sequence[Candles]) -> tuple[int, int]:
    return len(series[0].at), len(series)


def _one(strategy: Strategy, candles: Candles) -> Signals:
    weights, bars = strategy.weights(candles), (len(candles.at),)
    if weights is not None:
        return _checked(weights, bars, weights=True)
    return _checked(strategy.stances(candles), bars, weights=False)


def _checked(signals: Any, shape: tuple[int, ...], *, weights: bool) -> Signals:
    """Return stances as int8 and weights as float64: the engine tells them apart by their type."""
    found = np.asarray(signals)
    if found.shape != shape:
        raise BadAnswer(f"the answer must have one value per bar, {shape}; it has {found.shape}")
    if found.dtype.kind not in ("iuf" if weights else "iu"):
        raise BadAnswer(f"the answer must be {'numbers' if weights else 'whole numbers'}, not {found.dtype}")
    if found.size and not (np.fmin.reduce(found, None) >= -1 and np.fmax.reduce(found, None) <= 1):
        raise BadAnswer("a stance is +1, 0 or -1, and a weight lies from -1 to 1")
    return cast(Signals, found.astype(np.float64 if weights else np.int8, copy=False))
