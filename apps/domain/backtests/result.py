"""What a backtest returns: trades as arrays, the equity curve, what is still open, and what was refused and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from apps.domain.backtests import curves
from apps.domain.backtests.conventions import Conventions
from apps.domain.legs import ExitReason

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


class Reason(IntEnum):
    """Why a position was left, as the number the trade list holds; `label` is the word live trading uses."""

    STOP_LOSS = 0
    TAKE_PROFIT = 1
    TRAILING_STOP = 2
    BREAK_EVEN = 3
    TIME_STOP = 4
    SIGNAL = 5  # the stance no longer agreed with the position
    END = 6  # the data ended
    RISK = 7  # a limit of the account was breached

    @property
    def label(self) -> str:
        """The word for reports and JSON: that of `legs.ExitReason`, or "end"."""
        return _LABELS[self]


_LABELS: dict[Reason, str] = {
    Reason.STOP_LOSS: ExitReason.STOP_LOSS.value,
    Reason.TAKE_PROFIT: ExitReason.TAKE_PROFIT.value,
    Reason.TRAILING_STOP: ExitReason.TRAILING_STOP.value,
    Reason.BREAK_EVEN: ExitReason.BREAK_EVEN.value,
    Reason.TIME_STOP: ExitReason.TIME_STOP.value,
    Reason.SIGNAL: ExitReason.SIGNAL.value,
    Reason.END: "end",
    Reason.RISK: ExitReason.RISK.value,
}


class Trades(NamedTuple):
    """Closed trades as arrays of one length, in the order they were closed; a partial exit is a trade of its own.

    `carry` is what borrowing and funding cost (negative when it was earned); `pnl` is after fees and carry. `mae` and
    `mfe` are the worst (at most 0) and best (at least 0) rate of the entry price reached while it was held: by the
    bars from the entry fill until before the exit bar, and by the exit price. `ambiguous` says that the exit bar
    touched both a stop and a target and did not open beyond either, so that their order had to be assumed.
    """

    instrument: npt.NDArray[np.int16]
    side: npt.NDArray[np.int8]  # +1 long, -1 short
    entry_bar: Whole
    exit_bar: Whole
    entry_price: Floats
    exit_price: Floats
    size: Floats
    entry_fee: Floats
    exit_fee: Floats
    carry: Floats
    pnl: Floats
    reason: npt.NDArray[np.int8]  # a Reason
    ambiguous: npt.NDArray[np.bool_]
    mae: Floats
    mfe: Floats

    @property
    def closed(self) -> int:
        """The number of closed trades (`len` of a named tuple is the number of its arrays)."""
        return len(self.pnl)


class Holding(NamedTuple):
    """A position still open on the last bar; `value` is signed, size times the price it is marked at."""

    instrument: int
    side: int
    entry_bar: int
    entry_price: float
    size: float
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run. `equity` has one value per bar, after everything on that bar: cash plus what is held at the close.

    `exposure` is what all positions are worth over equity, at the same instant, longs and shorts added. `rejected`
    counts every entry that was wanted and not made, by reason. `ambiguous_bars` counts bars that touched both a stop
    and a target, or whose extremes could have moved a trailing stop before touching it.
    """

    at: Whole
    trades: Trades
    equity: Floats
    exposure: Floats | None
    open: tuple[Holding, ...]
    rejected: Mapping[str, int]
    ambiguous_bars: int
    conventions: Conventions

    @property
    def final_equity(self) -> float:
        """The equity after the last bar."""
        return float(self.equity[-1]) if len(self.equity) else self.conventions.cash

    @property
    def closed_trades(self) -> int:
        """The number of closed trades."""
        return self.trades.closed

    @property
    def max_drawdown_pct(self) -> float:
        """The maximum over bars of 1 - equity / its running maximum, times 100."""
        return 100 * curves.max_drawdown(self.equity)

    @property
    def win_rate_pct(self) -> float:
        """Closed trades with pnl > 0 after both fees, over closed trades, times 100; 0 without any."""
        return 100 * float(np.count_nonzero(self.trades.pnl > 0)) / self.trades.closed if self.trades.closed else 0.0
