"""Where do the ticks of an axis go, and which points of a long curve are worth drawing?"""

import math
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from apps.backtests.report import wording

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WIDTH = 1000
FEWEST_TICKS, MOST_TICKS = 2, 10
# Units of numpy's calendar, with how many of them lie between two ticks, and how such a tick is written.
STEPS = (
    *(("Y", years, "%Y") for years in (50, 20, 10, 5, 2, 1)),
    ("M", 3, "%b %Y"),
    ("M", 1, "%b %Y"),
    *(("D", days, "%d %b") for days in (14, 7, 2, 1)),
    *(("h", hours, "%d %b %H:%M") for hours in (6, 2, 1)),
    *(("m", minutes, "%H:%M") for minutes in (15, 5, 1)),
)


class Tick(NamedTuple):
    """A mark on an axis: where, as a share of its length from the left or the top, and what it says."""

    where: float
    text: str


class Range(NamedTuple):
    """The values an axis spans, with its ticks' distance."""

    low: float
    high: float
    step: float

    def down(self, values: Floats) -> Floats:
        """Return how far below the top each value lies, as a share."""
        return np.asarray((self.high - values) / (self.high - self.low))


def around(low: float, high: float, *, ticks: int = 4) -> Range:
    """Return a range with round ticks that holds both values; a flat one is widened."""
    if not high > low:
        margin = abs(high) * 0.01 or 1.0
        low, high = low - margin, high + margin
    rough = (high - low) / ticks
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1.0, 2.0, 2.5, 5.0, 10.0) if each * power >= rough * 0.999)
    return Range(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step)


def value_ticks(span: Range, suffix: str = "") -> list[Tick]:
    """Return the ticks of a vertical axis."""
    steps = round((span.high - span.low) / span.step)
    values = [span.low + number * span.step for number in range(steps + 1)]
    return [Tick(1.0 - number / steps, _short(value, span) + suffix) for number, value in enumerate(values)]


def time_ticks(at: Ints) -> list[Tick]:
    """Return the ticks of a horizontal axis of bars, at beginnings of years, months, days or hours."""
    if len(at) < 2:
        return []
    best: list[Tick] = []
    for unit, every, text in STEPS:
        found = _ticks(at, unit, every, text)
        if len(found) > MOST_TICKS:
            break
        best = found or best
        if len(best) >= FEWEST_TICKS + 3:
            break
    return best


def extremes(values: Floats, width: int = WIDTH) -> Ints:
    """Return the bars that keep the shape of a curve: the lowest and the highest of each column of pixels, in order."""
    count = len(values)
    if count <= 2 * width:
        return np.arange(count, dtype=np.int64)
    starts = np.linspace(0, count, width + 1).astype(np.int64)
    lows = [int(a + np.argmin(values[a:b])) for a, b in pairwise(starts)]
    highs = [int(a + np.argmax(values[a:b])) for a, b in pairwise(starts)]
    return np.unique(np.array([0, count - 1, *lows, *highs], dtype=np.int64))


def thinned(count: int, most: int) -> Ints:
    """Return at most so many of `count` things, spread evenly, the first and last among them."""
    if count <= most:
        return np.arange(count, dtype=np.int64)
    return np.unique(np.linspace(0, count - 1, most).astype(np.int64))


def _ticks(at: Ints, unit: str, every: int, text: str) -> list[Tick]:
    first, last = (np.datetime64(int(each), "s").astype(f"datetime64[{unit}]") for each in (at[0], at[-1]))
    span = int((last - first).astype(np.int64)) + 1
    if span // every > 4 * MOST_TICKS:
        return [Tick(0.0, "")] * (MOST_TICKS + 1)
    count = np.arange(span + 1) + first.astype(np.int64) + (1970 if unit == "Y" else 0)
    marks = (first + np.arange(span + 1))[count % every == 0].astype("datetime64[s]").astype(np.int64)
    marks = marks[(marks >= at[0]) & (marks <= at[-1])]
    where = np.searchsorted(at, marks) / (len(at) - 1)
    return [Tick(float(x), _date(int(mark), text)) for x, mark in zip(where, marks, strict=True)]


def _date(second: int, text: str) -> str:
    return datetime.fromtimestamp(second, UTC).strftime(text).removeprefix("0" if text.startswith("%d") else "")


def _short(value: float, span: Range) -> str:
    places = next(n for n in range(13) if n == 12 or math.isclose(round(span.step, n), span.step, rel_tol=1e-6))
    if span.step >= 1000 and max(abs(span.low), abs(span.high)) >= 10_000:
        value, places, unit = (value / 1e6, 2, "M") if span.step >= 10_000_000 / 100 else (value / 1e3, 0, "k")
        text = f"{abs(value):,.{places}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return f"{wording.MINUS if value < 0 else ''}{text}{unit if value else ''}"
    if abs(value) < span.step / 1e6:
        value = 0.0
    return f"{wording.MINUS if value < 0 else ''}{abs(value):,.{places}f}"
