"""The figures that seven independent engines agree on for GOOG daily, one row per set of conventions.

The candles ship with the `backtesting` package, which is no dependency of this product:
`python -m tests.domain.reference_rows GOOG.csv` checks every row against the file it installs.
"""

import csv
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from apps.domain.backtests import engine
from apps.domain.backtests.conventions import Conventions
from apps.domain.backtests.result import Result
from apps.domain.strategies.contract import Candles


class Row(NamedTuple):
    differs: dict[str, Any]
    trades: int
    final_equity: float
    max_drawdown_pct: float
    win_rate_pct: float
    ambiguous: int = 0


CROSS = {"cash": 100_000.0, "fee_rate": 0.002, "slippage": "none"}
BRACKET = {**CROSS, "exit_on_signal": False, "stop_loss": 0.02, "take_profit": 0.04}
FRAC = {"units": "fractional"}
AT_LEVEL = {"gap_sl": "level", "gap_tp": "level"}
CENTS = {"round_px": 2, "round_fee": 2}

CROSSES = (
    Row({}, 46, 640_223.56, 20.129, 60.87),
    Row({"round_fee": 2}, 46, 640_223.54, 20.129, 60.87),
    Row(FRAC, 46, 641_612.98, 20.134, 60.87),
    Row({"end": "open"}, 47, 632_294.99, 20.129, 61.70),
    Row({"end": "mark-open"}, 46, 633_561.90, 20.129, 60.87),
    Row({**FRAC, "end": "mark-open"}, 46, 634_935.73, 20.134, 60.87),
    Row({**FRAC, "size_fee": False, "end": "open"}, 47, 635_651.67, 20.171, 61.70),
    Row({"fill": "close", "round_fee": 2}, 46, 603_492.10, 24.409, 52.17),
    Row({"end": "close"}, 47, 638_943.33, 20.129, 61.70),
)
BRACKETS = (
    Row({}, 46, 138_558.00, 8.636, 50.00),
    Row({"end": "open"}, 46, 138_558.00, 8.636, 50.00),
    Row({"end": "close"}, 46, 138_558.00, 8.636, 50.00),
    Row(FRAC, 46, 138_631.65, 8.652, 50.00),
    Row({"entry_bar": False}, 46, 131_484.17, 10.317, 47.83, 1),
    Row({**FRAC, "entry_bar": False}, 46, 131_598.81, 10.330, 47.83, 1),
    Row({"base": "signal"}, 46, 111_559.80, 13.003, 43.48),
    Row({**AT_LEVEL, **CENTS}, 46, 128_787.91, 8.619, 50.00),
    Row({"order": "tp", **AT_LEVEL, **CENTS}, 46, 128_787.91, 8.619, 50.00),
    Row({"fill": "close", "order": "tp", **AT_LEVEL, **CENTS}, 46, 107_775.65, 16.364, 43.48),
    Row({"fill": "close", "order": "adaptive", **AT_LEVEL, **CENTS}, 46, 107_775.65, 16.364, 43.48),
    Row({"order": "tp", "gap_tp": "level", **CENTS}, 46, 128_083.07, 8.629, 50.00),
    Row({"fill": "close", "order": "tp", "gap_tp": "level", **CENTS}, 46, 105_857.96, 16.877, 43.48),
    Row({"fill": "close", "order": "adaptive", "gap_tp": "level", **CENTS}, 46, 105_857.96, 16.877, 43.48),
    Row(
        {**FRAC, "gap_sl": "clamp", "gap_tp": "clamp", "tp_net": True, "size_fee": False, "end": "open"},
        46, 150_614.12, 8.659, 50.00,
    ),
)  # fmt: skip


TABLES = ((CROSS, CROSSES), (BRACKET, BRACKETS))


def candles(path: Path) -> Candles:
    """Read a CSV of time, Open, High, Low, Close, Volume."""
    with path.open() as file:
        rows = list(csv.reader(file))[1:]
    at = np.array([int(datetime.fromisoformat(row[0]).replace(tzinfo=UTC).timestamp()) for row in rows])
    return Candles(at, *(np.array([float(row[column]) for row in rows]) for column in range(1, 6)))


def crossing(close: np.ndarray[Any, np.dtype[np.float64]], fast: int = 10, slow: int = 20) -> Any:
    """Return long while the fast mean of the last closes is above the slow one."""
    means = [np.full(len(close), np.nan) for _ in range(2)]
    for mean, span in zip(means, (fast, slow), strict=True):
        mean[span - 1 :] = np.lib.stride_tricks.sliding_window_view(close, span).mean(axis=1)
    return (means[0] > means[1]).astype(np.int8)


def check(path: Path) -> list[str]:
    """Return a line for every row of the tables that a run on the candles at `path` does not give."""
    market = candles(path)
    stances = crossing(market.close)
    found = []
    for canonical, table in TABLES:
        name = "bracket" if "stop_loss" in canonical else "cross"
        for row in table:
            result = engine.run(market, stances, Conventions(**{**canonical, **row.differs}), warmup=20)
            found += [f"{name} {row.differs}: {line}" for line in _differences(row, result)]
    return found


def _differences(row: Row, result: Result) -> list[str]:
    given = (
        result.closed_trades,
        round(result.final_equity, 2),
        round(result.max_drawdown_pct, 3),
        round(result.win_rate_pct, 2),
        result.ambiguous_bars,
    )
    names = ("trades", "final_equity", "max_drawdown_pct", "win_rate_pct", "ambiguous")
    return [
        f"{name} {value}, not {wanted}"
        for name, value, wanted in zip(names, given, row[1:], strict=True)
        if value != wanted
    ]


if __name__ == "__main__":
    differences = check(Path(sys.argv[1]))
    print(*differences or [f"all {len(CROSSES) + len(BRACKETS)} rows agree"], sep="\n")
    sys.exit(bool(differences))
