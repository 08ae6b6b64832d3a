"""The Python call: `backtests.run("sma_cross", candles=..., parameters={"fast": 10}, fee_rate=0.002)`.

It needs neither database nor servers, and no Django either, as long as the candles are files or arrays.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from apps.backtests import moments, outcomes, sources, spellings
from apps.backtests.outcomes import Outcome
from apps.backtests.sources import Loaded, Spec
from apps.domain.backtests.conventions import Conventions
from apps.domain.errors import Problem, Refused
from apps.domain.strategies.contract import Candles

# A file, arrays, or a table with the columns Open, High, Low, Close and perhaps Volume, whose index is the time.
Source: TypeAlias = "str | Path | Candles | Loaded | Spec | Any"


def run(
    strategy: str,
    *,
    candles: "Source | Sequence[Source]",
    parameters: Mapping[str, Any] | None = None,
    detail: "Source | None" = None,
    conventions: Conventions | None = None,
    **changed: Any,
) -> Outcome:
    """Backtest a strategy and return its outcome: `.result`, `.statistics`, `.critique`, `.bounds`, `.as_json()`.

    `candles` is a file, `Candles`, a pandas table, a `Spec` of stored candles, or a list of these, one per instrument.
    Conventions and limits are keywords, with plain values or as the command line spells them ("2%", "next-open").
    Raises Refused with every problem, Unavailable when stored candles cannot be read, and StrategyFailed.
    """
    chosen = spellings.conventions(changed, conventions, strategy=strategy)
    return outcomes.compute(strategy, parameters or {}, chosen, loaded(candles, detail))


def loaded(candles: "Source | Sequence[Source]", detail: "Source | None" = None) -> Loaded:
    """Return candles that may be backtested on. Raises Refused with every problem found."""
    if isinstance(candles, Loaded):
        return candles
    if isinstance(candles, Spec):
        return sources.load(candles)
    several = candles if isinstance(candles, list | tuple) and not isinstance(candles, Candles) else [candles]
    names = [Path(one).name.partition(".")[0] if isinstance(one, str | Path) else "" for one in several]
    named = [name or f"candles {number}" for number, name in enumerate(names, 1)]
    inside = None if detail is None else _candles(detail)
    return sources.given([_candles(one) for one in several], names=named, detail=inside, checked=False)


def _candles(source: Source) -> Candles:
    if isinstance(source, str | Path):
        return sources.load(Spec(files=(str(source),))).candles[0]
    if isinstance(source, Candles):
        kinds = (np.int64, *[np.float64] * 5)
        return Candles._make(np.asarray(part, kind) for part, kind in zip(source, kinds, strict=True))
    return _of_table(source)


def _of_table(table: Any) -> Candles:
    """Return the candles of a pandas table, without importing pandas: whoever has a table has imported it."""
    found = {str(name).strip().lower(): name for name in getattr(table, "columns", ())}
    absent = [name.title() for name in ("open", "high", "low", "close") if name not in found]
    if absent or not hasattr(table, "index"):
        rule = f"has no column {', '.join(absent)}; found: {', '.join(map(str, found.values())) or 'no columns'}"
        remedy = "give a file, Candles, or a table with Open, High, Low and Close and the time as its index"
        raise Refused(Problem(field="candles", value=type(table).__name__, rule=rule, remedy=remedy))
    prices = [np.asarray(table[found[name]], np.float64) for name in ("open", "high", "low", "close")]
    volume = (
        np.nan_to_num(np.asarray(table[found["volume"]], np.float64)) if "volume" in found else np.zeros(len(table))
    )
    return Candles._make([_times(table.index), *prices, volume])


def _times(index: Any) -> Any:
    zone = getattr(index, "tz", None)
    stamps = np.asarray(index.tz_convert(None) if zone is not None else index)
    if np.issubdtype(stamps.dtype, np.datetime64):
        return stamps.astype("datetime64[s]").astype(np.int64)
    if np.issubdtype(stamps.dtype, np.number):
        return moments.of_numbers(stamps)
    return moments.of_texts([str(stamp) for stamp in stamps])
