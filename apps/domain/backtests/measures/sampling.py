"""How often is the equity curve sampled for returns, and how many such returns make a year?

Returns are sampled by UTC day when the bars are finer than a day and there are days enough, else by bar. A year holds
365 days where weekends trade and 252 where they do not. So the annual figures of one-minute bars stay comparable with
those of daily bars, and two days of minutes give a figure instead of a NaN.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from apps.domain.strategies.contract import Floats

Ints = npt.NDArray[np.int64]

DAY = 86_400
YEAR = 365.25 * DAY
FEWEST_DAYS = 30
# The median of all distances would cost more than everything else a search needs.
DISTANCES = 4_000
TRADING_DAYS, CALENDAR_DAYS = 252.0, 365.0
# Five of seven days would be 0 and a market without a pause 2/7; holidays and short data move either a little.
WEEKEND_SHARE = 0.6 * 2 / 7
THE_EPOCH_IS_A_THURSDAY = 3
SATURDAY = 5


class Sampled(NamedTuple):
    """The returns of an equity curve: what they are sampled by, at which bars, how many make a year."""

    every: str
    bars: Ints
    returns: Floats
    a_year: float


def of(at: Ints, equity: Floats, bar_seconds: float) -> Sampled:
    """Sample `equity` by day or by bar; `at` is in seconds, oldest first."""
    last = last_of_days(at)
    if bar_seconds < DAY and len(last) > FEWEST_DAYS:
        bars = last if last[0] == 0 else np.concatenate((np.zeros(1, dtype=np.int64), last))
        return Sampled("day", bars, returns_at(equity, bars), days_a_year(at))
    every = "day" if bar_seconds == DAY else "bar"
    bars = np.arange(len(equity), dtype=np.int64)
    return Sampled(every, bars, returns_at(equity, bars), bars_a_year(at, bar_seconds))


def bar_seconds_of(at: Ints) -> float:
    """Return the usual distance of two bars in seconds, as a spread sample tells; a day when there is but one bar."""
    if len(at) < 2:
        return float(DAY)
    step = len(at) // DISTANCES + 1
    return float(np.median(at[1::step] - at[:-1:step]))


def returns_at(equity: Floats, bars: Ints) -> Floats:
    """Return the simple returns between these bars; 0 once nothing is left to earn on."""
    sampled = equity[bars]
    before, after = sampled[:-1], sampled[1:]
    alive = before > 0
    return np.divide(after, before, out=np.ones_like(after), where=alive) - 1.0


def last_of_days(at: Ints) -> Ints:
    """Return the last bar of each UTC day that has one. Costs a search per day, nothing per bar."""
    if not len(at):
        return np.zeros(0, dtype=np.int64)
    midnights = np.arange(at[0] // DAY + 1, at[-1] // DAY + 2, dtype=np.int64) * DAY
    return last_before(at, midnights)


def last_of_months(at: Ints) -> Ints:
    """Return the last bar of each calendar month (UTC) that has one."""
    return _last_of(at, "datetime64[M]")


def last_of_years(at: Ints) -> Ints:
    return _last_of(at, "datetime64[Y]")


def last_of_weeks(at: Ints) -> Ints:
    """Return the last bar of each week, Monday to Sunday."""
    if not len(at):
        return np.zeros(0, dtype=np.int64)
    shift = THE_EPOCH_IS_A_THURSDAY * DAY
    first, final = ((int(each) + shift) // (7 * DAY) for each in (at[0], at[-1]))
    return last_before(at, np.arange(first + 1, final + 2, dtype=np.int64) * (7 * DAY) - shift)


def last_before(at: Ints, ends: Ints) -> Ints:
    """Return the last bar before each end, once, where there is one since the end before."""
    found = np.searchsorted(at, ends, side="left") - 1
    found = found[found >= 0]
    return found[np.diff(found, prepend=-1) > 0].astype(np.int64)


def days_a_year(at: Ints) -> float:
    """Return 365 when the weekends are traded, else 252."""
    weekday = (at[last_of_days(at)] // DAY + THE_EPOCH_IS_A_THURSDAY) % 7
    if not len(weekday):
        return TRADING_DAYS
    return CALENDAR_DAYS if float(np.mean(weekday >= SATURDAY)) > WEEKEND_SHARE else TRADING_DAYS


def bars_a_year(at: Ints, bar_seconds: float) -> float:
    """Return how many bars make a year, from the bars of the usual day, or from their length when that is longer."""
    if bar_seconds > DAY:
        return YEAR / bar_seconds
    last = last_of_days(at)
    counts = np.diff(last, prepend=-1)
    # The first and the last day are often cut; with three days or more the usual day decides, else the fullest.
    usual = float(np.median(counts[1:-1])) if len(counts) > 2 else float(np.max(counts, initial=1))
    return days_a_year(at) * max(usual, 1.0)


def _last_of(at: Ints, unit: str) -> Ints:
    if not len(at):
        return np.zeros(0, dtype=np.int64)
    ends = at[[0, -1]].astype("datetime64[s]").astype(unit)
    starts = np.arange(ends[0] + 1, ends[1] + 2).astype("datetime64[s]").astype(np.int64)
    return last_before(at, starts)
