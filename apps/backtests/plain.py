"""What does a result look like as plain values, for JSON and for people? No value is NaN or infinite: that is None."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from apps.backtests import moments
from apps.domain.backtests.result import Holding, Reason, Result, Trades

SIDES: Final = {1: "long", -1: "short", 0: "flat"}


def numbers(value: Any) -> Any:
    """Return a value with every number as JSON has it; one that is not finite is None."""
    if isinstance(value, Mapping):
        return {str(key): numbers(item) for key, item in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, np.ndarray | np.generic):
        return numbers(value.tolist())
    if isinstance(value, Sequence):
        return [numbers(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def summary(result: Result) -> dict[str, Any]:
    """Return the figures that everybody asks for first."""
    return {
        "final_equity": result.final_equity,
        "closed_trades": result.closed_trades,
        "max_drawdown_pct": result.max_drawdown_pct,
        "win_rate_pct": result.win_rate_pct,
    }


def trades(result: Result, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the closed trades, one object each, in the order they were closed."""
    told = result.trades
    columns = {
        "instrument": [names[number] for number in told.instrument.tolist()],
        "side": [SIDES[side] for side in told.side.tolist()],
        "entry_bar": told.entry_bar.tolist(),
        "exit_bar": told.exit_bar.tolist(),
        "entry_time": times(result.at[told.entry_bar]),
        "exit_time": times(result.at[told.exit_bar]),
        **{name: getattr(told, name).tolist() for name in ("entry_price", "exit_price", "size")},
        **{name: getattr(told, name).tolist() for name in ("entry_fee", "exit_fee", "carry", "pnl")},
        "reason": [Reason(number).label for number in told.reason.tolist()],
        "ambiguous": told.ambiguous.tolist(),
        "mae": told.mae.tolist(),
        "mfe": told.mfe.tolist(),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def holdings(result: Result, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return what is held after the last bar."""
    return [_holding(one, result, names) for one in result.open]


def equity(result: Result) -> dict[str, list[Any]]:
    """Return the curve: the time of each bar in seconds since 1970, and the equity after it."""
    return {"at": result.at.tolist(), "value": result.equity.tolist()}


def times(at: npt.NDArray[np.int64]) -> list[str]:
    """Write seconds since the epoch as UTC times."""
    return [f"{stamp}Z" for stamp in np.datetime_as_string(at.astype("datetime64[s]")).tolist()]


def packed(**arrays: npt.NDArray[Any]) -> bytes:
    """Return arrays as one compressed piece of bytes."""
    target = io.BytesIO()
    np.savez_compressed(target, allow_pickle=False, **arrays)
    return target.getvalue()


def packed_trades(told: Trades) -> bytes:
    """Return a list of trades as bytes."""
    return packed(**told._asdict())


def unpacked(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of `packed`."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def unpacked_trades(content: bytes) -> Trades:
    """Return the list of trades of `packed_trades`."""
    return Trades(**unpacked(content))


def _holding(one: Holding, result: Result, names: Sequence[str]) -> dict[str, Any]:
    return {
        "instrument": names[one.instrument],
        "side": SIDES[one.side],
        "entry_bar": one.entry_bar,
        "entry_time": moments.shown(int(result.at[one.entry_bar])),
        "entry_price": one.entry_price,
        "size": one.size,
        "value": one.value,
    }
