"""From candles to a result with its statistics, its critique and both answers to what happened inside a bar."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np

from apps.backtests import plain
from apps.backtests.sources import Loaded
from apps.domain.backtests import attempts, critique, engine, statistics
from apps.domain.backtests.attempts import Answer
from apps.domain.backtests.conventions import Conventions, Order
from apps.domain.backtests.critique import Remark
from apps.domain.backtests.result import Result, Trades
from apps.domain.errors import Problem, Refused
from apps.domain.plugins import PluginError
from apps.domain.strategies import contract
from apps.domain.strategies.contract import Candles, Strategy
from apps.domain.strategies.registry import STRATEGIES

Progress = Callable[[float, str], None]

LOADED: Final = 0.2  # shares of the way, for whoever watches
SIGNALLED: Final = 0.4
SIMULATED: Final = 0.6
BOUNDED: Final = 0.7
MEASURED: Final = 0.9


class StrategyFailed(Exception):
    """A plug-in raised, or answered with something that is no stance; the sentence says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The same run with the stop first and with the target first wherever a bar holds both.

    `differing_trades` are the closed trades of the first that the second does not have.
    """

    stop_first: Result
    target_first: Result
    differing_trades: int

    def as_json(self) -> dict[str, Any]:
        """Return both ends of what may have happened inside the bars."""
        told = critique.bounds_json(self.stop_first, self.target_first)
        return {**told, "differing_trades": self.differing_trades}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One backtest with all that belongs to it."""

    plugin: str
    code_hash: str
    parameters: Mapping[str, Any]  # every one with its value
    loaded: Loaded
    result: Result
    statistics: Mapping[str, Any]
    critique: tuple[Remark, ...]
    bounds: Bounds

    @property
    def key(self) -> str:
        """Return the SHA-256 of everything that determines the result."""
        return key_of(self.code_hash, self.parameters, self.result.conventions, self.loaded)

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain values; docs/backtests.md tells what each key holds."""
        result, loaded = self.result, self.loaded
        return {
            **plain.summary(result),
            "strategy": self.plugin,
            "parameters": dict(self.parameters),
            "code_hash": self.code_hash,
            "data": loaded.as_json(),
            "conventions": result.conventions.as_json(),
            "statistics": plain.numbers(self.statistics),
            "bounds": plain.numbers(self.bounds.as_json()),
            "critique": [plain.numbers(remark.as_json()) for remark in self.critique],
            "rejected": dict(result.rejected),
            "ambiguous_bars": result.ambiguous_bars,
            "open": plain.holdings(result, loaded.names),
            "trades": plain.trades(result, loaded.names),
            "equity": plain.equity(result),
            "key": self.key,
        }


def strategy_of(plugin: str, values: Mapping[str, Any]) -> Strategy:
    """Return the strategy with its parameters. Raises Refused with every problem found."""
    return contract.build(plugin_class(plugin), values)


def plugin_class(plugin: str) -> type[Strategy]:
    """Return the class that carries a name. Raises Refused with the names that exist."""
    try:
        return STRATEGIES.get(plugin)
    except PluginError as error:
        known = ", ".join(STRATEGIES.names())
        problem = Problem(field="strategy", value=plugin[:60], rule="is no strategy", remedy=f"use one of {known}")
        raise Refused(problem) from error


def parameters_of(plugin: type[Strategy], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return every parameter with its value, the given ones over the defaults."""
    return {item.name: values.get(item.name, item.default) for item in fields(plugin.Parameters)}


def key_of(code_hash: str, parameters: Mapping[str, Any], conventions: Conventions, loaded: Loaded) -> str:
    """Return the SHA-256 of code, parameters, conventions, candles and seed, as 64 hex digits."""
    told = [code_hash, dict(parameters), conventions.as_json(), loaded.data_hash, loaded.bar_seconds]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def compute(
    plugin: str,
    values: Mapping[str, Any],
    conventions: Conventions,
    loaded: Loaded,
    *,
    progress: Progress = lambda share, stage: None,
) -> Outcome:
    """Run a strategy over candles. Raises Refused with every problem, and StrategyFailed for what a plug-in does."""
    found = plugin_class(plugin)
    strategy = contract.build(found, values)
    insist_on_bars(strategy, loaded)
    progress(LOADED, "signals")
    answer = signals(strategy, loaded.candles)
    progress(SIGNALLED, "fills")
    result = simulate(answer, conventions, loaded, strategy.warmup)
    progress(SIMULATED, "bounds")
    bounds = _bounds(result, answer, loaded, strategy.warmup)
    progress(BOUNDED, "statistics")
    told = statistics.of(result, loaded.candles, bar_seconds=loaded.bar_seconds or None)
    progress(MEASURED, "critique")
    parameters = parameters_of(found, values)
    remarks = critique.of(result, told, _context(parameters, loaded, bounds, conventions))
    return Outcome(
        plugin=plugin,
        code_hash=contract.code_hash(found),
        parameters=parameters,
        loaded=loaded,
        result=result,
        statistics=told,
        critique=tuple(remarks),
        bounds=bounds,
    )


def signals(strategy: Strategy, candles: tuple[Candles, ...]) -> Answer:
    """Ask a strategy about all bars at once. Raises Refused where it says no, and StrategyFailed where it breaks."""
    try:
        answer = attempts.asked(strategy, candles)
    except Refused:
        raise
    except Exception as error:  # a plug-in is foreign code: whatever it raises is its failure, not ours
        raise StrategyFailed(f"{strategy.name}: {type(error).__name__}: {error}") from error
    if not bool((np.abs(answer.signals) <= 1).all()):  # NaN is not
        raise StrategyFailed(f"{strategy.name}: a stance is +1, 0 or -1, a weight from -1 to 1")
    return answer


def simulate(answer: Answer, conventions: Conventions, loaded: Loaded, warmup: int) -> Result:
    """Fill what a strategy wants, under conventions."""
    candles = loaded.candles[0] if len(loaded.candles) == 1 else loaded.candles
    return engine.run(
        candles,
        answer.signals,
        conventions,
        plan=answer.plan,
        detail=loaded.detail,
        warmup=warmup,
        exposure=True,
    )


def insist_on_bars(strategy: Strategy, loaded: Loaded) -> None:
    """Raise Refused when there are fewer bars than the first stance needs."""
    if loaded.bars < strategy.warmup:
        rule = f"{strategy.name} with these parameters needs {strategy.warmup} bars before its first stance"
        remedy = "give more history or shorter parameters"
        raise Refused(Problem(field="candles", value=f"{loaded.bars} bars", rule=rule, remedy=remedy))


def _bounds(result: Result, answer: Answer, loaded: Loaded, warmup: int) -> Bounds:
    """Run it the other ways round; where no bar ever held two levels, every order gives the same result."""
    if not result.ambiguous_bars:
        return Bounds(stop_first=result, target_first=result, differing_trades=0)
    own = result.conventions
    first, second = (
        result if own.order is order else simulate(answer, replace(own, order=order), loaded, warmup)
        for order in (Order.STOP, Order.TARGET)
    )
    return Bounds(stop_first=first, target_first=second, differing_trades=_differing(first.trades, second.trades))


def _differing(trades: Trades, others: Trades) -> int:
    """Count the trades that the other list does not have; sizes follow from the equity and do not count."""
    known = set(_identities(others))
    return sum(identity not in known for identity in _identities(trades))


def _identities(trades: Trades) -> list[tuple[Any, ...]]:
    columns = (trades.instrument, trades.side, trades.entry_bar, trades.exit_bar, trades.exit_price, trades.reason)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _context(
    parameters: Mapping[str, Any], loaded: Loaded, bounds: Bounds, conventions: Conventions
) -> critique.Context:
    at = loaded.candles[0].at
    return critique.Context(
        parameter_count=len(parameters),
        tested_span=(int(at[0]), int(at[-1]) + loaded.bar_seconds),
        missing_bars=loaded.missing_bars,
        candles=loaded.candles,
        bounds=(bounds.stop_first, bounds.target_first),
        seed=conventions.seed,
    )
