"""The result of a walk forward: one account that trades every test window with the parameters chosen just before it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from apps.backtests import plain, selectors
from apps.backtests.models import Run, Study, Trial
from apps.backtests.services import judging, studies
from apps.backtests.services.benches import Bench
from apps.domain.backtests import attempts, critique, statistics, walking
from apps.domain.backtests.attempts import Answer
from apps.domain.backtests.conventions import Conventions
from apps.domain.backtests.result import Result
from apps.domain.backtests.walking import Window
from apps.domain.strategies import contract
from apps.domain.strategies.contract import ExitPlan

BEFORE = 1  # bars the stitched account sees before its first test, so that a stance can differ from one before it


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """The stitched result with all that belongs to it."""

    result: Result
    names: tuple[str, ...]
    parameters: dict[str, Any]  # of the last window: what is to be traded next
    statistics: dict[str, Any]
    critique: list[dict[str, Any]]
    bounds: dict[str, Any]
    summary: dict[str, Any]


def outcome(study: Study, bench: Bench, places: Sequence[Trial | None]) -> Walked:
    """Stitch the test windows together, each with the trial that was best in training; None trades nothing.

    The account is never reset: a position is carried from one window into the next unless the new parameters want
    another stance.
    """
    windows = [Window(*window) for window in study.windows]
    start, stop = windows[0].test - BEFORE, windows[-1].end
    candles = attempts.cut(bench.loaded.candles, start, stop)
    answer = _stitched(bench, windows, [place.parameters if place else None for place in places])
    result = attempts.run(answer, candles, bench.conventions, warmup=BEFORE, exposure=True)
    seconds = bench.loaded.bar_seconds
    told = statistics.of(result, candles, bar_seconds=seconds)
    bounds = judging.both_orders(bench, result, answer, candles, BEFORE)
    context = critique.Context(
        parameter_count=len(study.space),
        tested_span=(int(result.at[0]), int(result.at[-1]) + seconds),
        out_of_sample=True,
        missing_bars=bench.loaded.missing_bars,
        candles=candles,
        bounds=bounds,
        seed=study.seed,
    )
    chosen = [studies.full(bench.plugin, place.parameters) for place in places if place]
    return Walked(
        result=result,
        names=bench.loaded.names,
        parameters=chosen[-1] if chosen else {},
        statistics=plain.numbers(told),
        critique=[plain.numbers(remark.as_json()) for remark in critique.of(result, told, context)],
        bounds=plain.numbers(critique.bounds_json(*bounds)),
        summary=_summary(study, bench, result, places),
    )


def record(study: Study, told: Walked, now: datetime) -> Run:
    """Keep the stitched result as a run: evidence for a promotion, with the code it was computed by."""
    result = told.result
    return Run.objects.create(
        kind=study.kind,
        state=Run.State.DONE,
        strategy_id=study.strategy_id,
        plugin=study.plugin,
        code_hash=study.code_hash,
        parameters=told.parameters,
        conventions=study.conventions,
        seed=study.seed,
        data=study.data,
        source=study.source,
        instrument_id=study.instrument_id,
        bar_seconds=study.bar_seconds,
        since=_when(int(result.at[BEFORE])),
        until=_when(int(result.at[-1])),
        bars=len(result.at),
        data_hash=study.data_hash,
        key=_key(study),
        progress=1.0,
        summary=plain.numbers(plain.summary(result)),
        statistics=told.statistics,
        critique=told.critique,
        bounds=told.bounds,
        rejected=dict(result.rejected),
        open=plain.numbers(plain.holdings(result, told.names)),
        trades=plain.packed_trades(result.trades),
        equity=plain.packed(at=result.at, value=result.equity),
        made_by_id=study.made_by_id,
        made_at=now,
        started_at=study.made_at,
        finished_at=now,
    )


def stitched(run: Run) -> dict[str, Any]:
    """Return everything a kept walk forward knows: statistics, trades and curve; bars count from its first."""
    at, equity = selectors.equity(run)
    result = Result(
        at=np.asarray(at, np.int64),
        trades=selectors.trades(run),
        equity=equity,
        exposure=None,
        open=(),
        rejected=run.rejected,
        ambiguous_bars=int(run.statistics["ambiguous_bars"]),
        conventions=Conventions.restored(run.conventions),
    )
    return {
        "statistics": run.statistics,
        "bounds": run.bounds,
        "critique": run.critique,
        "rejected": run.rejected,
        "open": run.open,
        "trades": plain.trades(result, run.source.split(", ")),
        "equity": plain.equity(result),
        "key": run.key,
    }


def _stitched(bench: Bench, windows: Sequence[Window], chosen: Sequence[dict[str, Any] | None]) -> Answer:
    answers = [_asked(bench, window, values) for window, values in zip(windows, chosen, strict=True)]
    plans = [each.plan for each in answers]
    plan = None
    if any(each is not None for each in plans):
        whole = [each or _nothing(len(answer.signals)) for each, answer in zip(plans, answers, strict=True)]
        plan = ExitPlan(*(np.concatenate(parts) for parts in zip(*whole, strict=True)))
    return Answer(np.concatenate([each.signals for each in answers]), plan)


def _asked(bench: Bench, window: Window, values: dict[str, Any] | None) -> Answer:
    """Return what the strategy wants in a test window, asked with every bar up to its end and none after it."""
    first = window.test - (BEFORE if list(window) == list(bench.windows[0]) else 0)
    series = attempts.cut(bench.loaded.candles, 0, window.end)
    if values is None:
        bars = (window.end - first,) if len(series) == 1 else (window.end - first, len(series))
        return Answer(np.zeros(bars, np.int8), None)
    answer = attempts.asked(contract.build(bench.plugin, values), series)
    plan = answer.plan and ExitPlan(*(part[first:] for part in answer.plan))
    return Answer(answer.signals[first:], plan)


def _nothing(bars: int) -> ExitPlan:
    return ExitPlan(*(np.full(bars, np.nan) for _ in ExitPlan._fields))


def _summary(study: Study, bench: Bench, result: Result, places: Sequence[Trial | None]) -> dict[str, Any]:
    told = [
        {"window": number, **_told(study, bench, result, Window(*window), place)}
        for number, (window, place) in enumerate(zip(bench.windows, places, strict=True))
    ]
    chosen = [place.parameters for place in places if place]
    tested = [each["test"]["yearly_pct"] for each in told]
    trained = [each["train"]["yearly_pct"] for each in told]
    gains = [each["test"]["gain_pct"] for each in told]
    return {
        "result": plain.numbers(plain.summary(result)),
        "windows": told,
        "efficiency": walking.efficiency(trained, tested),
        "windows_with_gain": sum(gain > 0 for gain in gains),
        "stability": walking.stability(chosen),
    }


def _told(study: Study, bench: Bench, result: Result, window: Window, place: Trial | None) -> dict[str, Any]:
    return {
        "parameters": place.parameters if place else None,
        "train": {
            **_span(bench, window.train, window.test),
            "value": _measure(place, study.objective),
            "yearly_pct": _measure(place, "cagr_pct"),
            "closed_trades": _measure(place, "closed_trades"),
        },
        "test": {
            **_span(bench, window.test, window.end),
            **_tested(result, window, Window(*bench.windows[0]).test - BEFORE),
        },
    }


def _tested(result: Result, window: Window, start: int) -> dict[str, Any]:
    """Return what the stitched account did in one window; `start` is the bar of the data it began with."""
    first, end = window.test - start, window.end - start
    found = walking.stretch(result.at[first:end], result.equity[first:end], float(result.equity[first - 1]))
    trades = result.trades
    begun = (trades.entry_bar >= first) & (trades.entry_bar < end)
    return {**found._asdict(), "trades": int(begun.sum()), "pnl": float(trades.pnl[begun].sum())}


def _span(bench: Bench, first: int, end: int) -> dict[str, Any]:
    at = bench.loaded.candles[0].at
    since, until = _when(int(at[first])), _when(int(at[end - 1]))
    return {"since": since.isoformat(), "until": until.isoformat(), "bars": end - first}


def _measure(place: Trial | None, name: str) -> Any:
    return ((place.measures if place else None) or {}).get(name)


def _when(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def _key(study: Study) -> str:
    told = [study.code_hash, study.space, study.search, study.objective, study.least_trades, study.wanted, study.seed]
    more = [study.conventions, study.data_hash, study.bar_seconds, study.windows]
    return hashlib.sha256(json.dumps([*told, *more], sort_keys=True).encode()).hexdigest()
