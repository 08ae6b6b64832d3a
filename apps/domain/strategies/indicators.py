"""Indicators as charts know them, made of windows: the value of a bar depends on so many bars before it, no more.

TA-Lib knows more of them; `library` is the way to it. What it makes of recursions (its EMA, RSI, ATR, MACD) depends on
where the data begins, and its moving means carry the rounding of all bars before, so the shipped strategies use these.
"""

from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from apps.domain.strategies import windows
from apps.domain.strategies.contract import Candles, Floats, Stances


class Channel(NamedTuple):
    """A line and one on either side of it, in the unit of the values."""

    lower: Floats
    middle: Floats
    upper: Floats


class Macd(NamedTuple):
    """The difference of two exponential means, and its own mean."""

    line: Floats
    signal: Floats


def ema(values: Floats, length: int) -> Floats:
    """Return the exponential mean whose newest value weighs 2 / (length + 1); NaN before `ema_bars` are there."""
    return windows.decaying(values, 2.0 / (length + 1))


def ema_bars(length: int) -> int:
    """Return how many bars `ema` looks at: about ten times its length."""
    return windows.reach(2.0 / (length + 1))


def wilder(values: Floats, length: int) -> Floats:
    """Return Wilder's mean, whose newest value weighs 1 / length; NaN before `wilder_bars` are there."""
    return windows.decaying(values, 1.0 / length)


def wilder_bars(length: int) -> int:
    """Return how many bars `wilder` looks at: about twenty times its length."""
    return windows.reach(1.0 / length)


def macd(values: Floats, fast: int, slow: int, signal: int) -> Macd:
    """Return fast minus slow exponential mean and the exponential mean of that; NaN before `macd_bars` are there."""
    line = ema(values, fast) - ema(values, slow)
    smooth = np.full_like(line, np.nan)
    first = max(ema_bars(fast), ema_bars(slow)) - 1
    smooth[first:] = ema(line[first:], signal)
    return Macd(line, smooth)


def macd_bars(fast: int, slow: int, signal: int) -> int:
    """Return how many bars the signal of `macd` looks at."""
    return max(ema_bars(fast), ema_bars(slow)) + ema_bars(signal) - 1


def bollinger(values: Floats, length: int, width: float) -> Channel:
    """Return the mean of `length` values and `width` standard deviations below and above it."""
    middle, deviation = windows.deviation(values, length)
    return Channel(middle - width * deviation, middle, middle + width * deviation)


def score(values: Floats, length: int, *, least: float) -> Floats:
    """Return how many standard deviations a value is above the mean of the last `length`.

    0 where the deviation is not above `least`, in the unit of the values: then the values differ by rounding only.
    """
    middle, deviation = windows.deviation(values, length)
    found = np.divide(values - middle, deviation, out=np.zeros_like(middle), where=deviation > least)
    found[np.isnan(middle)] = np.nan
    return found


def breakout(close: Floats, channel: Channel, memory: int) -> Stances:
    """Return +1 from a close above the channel until one below its middle, -1 the other way round.

    A breakout that `memory` bars neither repeat nor end is forgotten.
    """
    side = windows.cross(close, channel.middle)
    longs = windows.held(windows.cross(close, channel.upper) > 0, side < 0, memory)
    shorts = windows.held(windows.cross(close, channel.lower) < 0, side > 0, memory)
    return windows.stances(longs, shorts)


def donchian(candles: Candles, length: int) -> Channel:
    """Return the lowest low and the highest high of the last `length` bars, and what lies half-way."""
    lower, upper = windows.lowest(candles.low, length), windows.highest(candles.high, length)
    return Channel(lower, (lower + upper) / 2.0, upper)


def true_range(candles: Candles) -> Floats:
    """Return how far the price moved in a bar, the gap from the close before it included; NaN at the first bar."""
    return windows.ranges(candles.high, candles.low, candles.close)


def atr(candles: Candles, length: int) -> Floats:
    """Return Wilder's mean of the true range, in price; NaN before `atr_bars` are there."""
    found = np.full(len(candles.close), np.nan)
    found[1:] = wilder(true_range(candles)[1:], length)
    return found


def atr_bars(length: int) -> int:
    """Return how many bars `atr` looks at."""
    return wilder_bars(length) + 1


def keltner(candles: Candles, length: int, atr_length: int, width: float) -> Channel:
    """Return the exponential mean of the close and `width` average true ranges below and above it."""
    middle, span = ema(candles.close, length), width * atr(candles, atr_length)
    return Channel(middle - span, middle, middle + span)


def wilder_rsi(values: Floats, length: int) -> Floats:
    """Return the relative strength index with Wilder's means, 0 to 100; 50 where nothing moved.

    NaN before `wilder_bars(length)` + 1 values are there.
    """
    steps = np.diff(values)
    rises, falls = wilder(np.maximum(steps, 0.0), length), wilder(np.maximum(-steps, 0.0), length)
    moved = rises + falls
    found = np.full(len(values), np.nan)
    found[1:] = 100.0 * np.divide(rises, moved, out=np.where(np.isnan(moved), np.nan, 0.5), where=moved > 0)
    return found


def vwap(candles: Candles, length: int) -> Floats:
    """Return the mean price of the last `length` bars, each bar's middle weighing as much as its volume.

    The middle is (high + low + close) / 3. Where nothing was traded every bar weighs the same.
    """
    typical = (candles.high + candles.low + candles.close) / 3.0
    volume = windows.total(candles.volume, length)
    money = windows.total(typical * candles.volume, length)
    return np.divide(money, volume, out=windows.mean(typical, length), where=volume > 0)


@cache
def library() -> Any:
    """Return TA-Lib, for the indicators that are not here. See docs/strategies.md for which of them are safe."""
    # Imported at first use: TA-Lib imports pandas, which takes 0.9 s that a backtest has better use for.
    return import_module("talib")
