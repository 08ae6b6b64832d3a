"""Hand-made results to measure: walks without a random number, and trades whose every field is known."""

from typing import Any

import numpy as np

from apps.domain.backtests.conventions import Conventions
from apps.domain.backtests.result import Result, Trades
from apps.domain.strategies.contract import Candles

DAY = 86_400
MONDAY = 1_609_718_400  # 2021-01-04
FREE = Conventions(slippage="none")


def walk(step: int, count: int = 600) -> np.ndarray:
    """Return prices to two decimals whose moves are the remainders of a multiplication: the same everywhere."""
    moves = (np.arange(count) * step % 1009 / 1009 - 0.49) * 0.04
    return np.round(100 * np.cumprod(1 + moves), 2)


def weekdays(count: int = 600) -> np.ndarray:
    """Return the midnights of Mondays to Fridays."""
    days = np.arange(count * 2)
    return (MONDAY + DAY * days[days % 7 < 5][:count]).astype(np.int64)


def every(seconds: int, count: int, since: int = MONDAY) -> np.ndarray:
    return (since + seconds * np.arange(count)).astype(np.int64)


def candles(close: Any, at: np.ndarray, volume: float = 1e6) -> Candles:
    """Return candles that open where the one before closed and reach a hundredth beyond either end."""
    close = np.asarray(close, dtype=np.float64)
    opened = np.concatenate((close[:1], close[:-1]))
    top, bottom = np.maximum(opened, close), np.minimum(opened, close)
    return Candles(at, opened, top * 1.01, bottom * 0.99, close, np.full(len(close), volume))


def trades(entry: Any = (), leave: Any = (), **given: Any) -> Trades:
    """Return long trades of one unit at price 100 that earn nothing, but for what is given."""
    count = len(entry)
    fields = {
        "instrument": np.zeros(count, np.int16),
        "side": np.ones(count, np.int8),
        "entry_bar": np.asarray(entry, np.int64),
        "exit_bar": np.asarray(leave, np.int64),
        "reason": np.full(count, 5, np.int8),
        "ambiguous": np.zeros(count, np.bool_),
        **{name: np.full(count, 100.0) for name in ("entry_price", "exit_price")},
        **{name: np.zeros(count) for name in ("entry_fee", "exit_fee", "carry", "pnl", "mae", "mfe")},
        "size": np.ones(count),
    }
    return Trades(
        **{name: np.asarray(given.get(name, value), np.asarray(value).dtype) for name, value in fields.items()}
    )


def result(equity: Any, at: np.ndarray | None = None, **given: Any) -> Result:
    """Return a result with this equity, no trades and the cash it starts with, but for what is given."""
    equity = np.asarray(equity, dtype=np.float64)
    fields: dict[str, Any] = {
        "at": every(DAY, len(equity)) if at is None else at,
        "trades": trades(),
        "equity": equity,
        "exposure": None,
        "open": (),
        "rejected": {},
        "ambiguous_bars": 0,
        "conventions": Conventions(cash=float(equity[0]), slippage="none"),
    }
    return Result(**{**fields, **given})


def peers_case() -> tuple[Result, Candles]:
    """Return the result of tests/domain/test_statistics_peers.py: one walk as equity, another as the market."""
    close, at = walk(3571), weekdays()
    entry = np.arange(0, 590, 12)
    leave = entry + np.arange(len(entry)) % 9 + 1
    side = np.where(np.arange(len(entry)) % 3 == 2, -1, 1)
    size = 100.0 + entry
    fee = 0.001 * size
    pnl = side * size * (close[leave] - close[entry]) - fee * (close[leave] + close[entry])
    made = trades(
        entry,
        leave,
        side=side,
        size=size,
        entry_price=close[entry],
        exit_price=close[leave],
        entry_fee=fee * close[entry],
        exit_fee=fee * close[leave],
        pnl=pnl,
    )
    return result(walk(7919) * 1000, at, trades=made), candles(close, at)
