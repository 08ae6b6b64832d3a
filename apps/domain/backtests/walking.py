"""Where does a walk forward train and test? Each window searches on what was known and is tested on what came next.

rolling     the training window moves along and keeps its length
anchored    it always begins with the first bar and grows

Test windows follow each other without a gap or an overlap, so that together they are one stretch of history nobody had
looked at: the parameters of each bar were chosen from bars before it alone.
"""

import re
from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from apps.domain.errors import Problem, Refused
from apps.domain.strategies.contract import Floats

Ints = npt.NDArray[np.int64]
LEAST_TRAIN, LEAST_TEST = 10, 2  # bars
MOST_WINDOWS: Final = 1000
_LENGTH = re.compile(r"([1-9][0-9]{0,8}) ?(bars?|min|h|d|w|mo|y)?")
_SECONDS: Final = {"min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_MONTHS: Final = {"mo": 1, "y": 12}
YEAR: Final = 365.25 * 86_400


class Mode(StrEnum):
    """What happens to the start of the training window."""

    ROLLING = "rolling"  # it moves along
    ANCHORED = "anchored"  # it stays at the first bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long a window is: a number of bars, or of calendar months, or of seconds."""

    bars: int = 0
    months: int = 0
    seconds: int = 0

    @classmethod
    def parse(cls, name: str, text: str) -> "Length":
        """Read `500`, `500bars`, `36h`, `90d`, `12w`, `6mo` or `2y`. Raises Refused when it is none of them."""
        found = _LENGTH.fullmatch(text.strip())
        if found is None:
            rule, remedy = "is no length of a window", "write bars like 500, or time like 90d, 6mo or 2y"
            raise Refused(Problem(field=name, value=text[:60], rule=rule, remedy=remedy))
        count, unit = int(found[1]), found[2] or "bars"
        if unit in _MONTHS:
            return cls(months=count * _MONTHS[unit])
        return cls(seconds=count * _SECONDS[unit]) if unit in _SECONDS else cls(bars=count)


class Window(NamedTuple):
    """One step: bars [train, test) are searched, bars [test, end) are the test."""

    train: int
    test: int
    end: int


class Stretch(NamedTuple):
    """What a part of an equity curve did."""

    gain_pct: float
    yearly_pct: float | None  # None where less than a day or nothing is left to grow
    max_drawdown_pct: float


def windows(at: Ints, train: Length, test: Length, mode: Mode) -> list[Window]:
    """Cut bars, whose times in seconds are `at`, into windows. Raises Refused when there is not one.

    A last test window of less than half the length of the one before is left out: its figures would say little.
    """
    found: list[Window] = []
    starts = _starts(at, train, test)
    for number, start in enumerate(starts[:-1]):
        begin = 0 if mode is Mode.ANCHORED else _before(at, start, train)
        found.append(Window(begin, start, starts[number + 1]))
    if len(found) > 1 and _size(found[-1]) < max(_size(found[-2]) / 2, LEAST_TEST):
        found.pop()
    return _checked(found)


def _starts(at: Ints, train: Length, test: Length) -> list[int]:
    """Return where the test windows begin, and where the last one ends."""
    starts = [_after(at, 0, train)]
    while starts[-1] < len(at) and len(starts) <= MOST_WINDOWS + 1:
        starts.append(max(_after(at, starts[-1], test), starts[-1] + 1))
    return starts


def _checked(found: list[Window]) -> list[Window]:
    short = [each for each in found if each.test - each.train < LEAST_TRAIN or _size(each) < LEAST_TEST]
    if not found:
        rule, remedy = "leave nothing to test on", "shorten --train, or take a longer history"
    elif short:
        rule = f"give a window of {short[0].test - short[0].train} bars to train and {_size(short[0])} to test"
        remedy = f"take at least {LEAST_TRAIN} and {LEAST_TEST}"
    elif len(found) > MOST_WINDOWS:
        rule, remedy = f"give more than {MOST_WINDOWS} windows", "lengthen --test"
    else:
        return found
    raise Refused(Problem(field="train, test", value="these lengths", rule=rule, remedy=remedy))


def stretch(at: Ints, equity: Floats, before: float) -> Stretch:
    """Measure a part of a curve; `before` is the equity at the bar before it."""
    whole = np.concatenate(([before], equity))
    growth = float(whole[-1] / before) if before > 0 else 0.0
    years = float(at[-1] - at[0]) / YEAR
    peaks = np.maximum.accumulate(whole)
    falls = 1.0 - np.divide(whole, peaks, out=np.ones_like(whole), where=peaks > 0)
    return Stretch(
        gain_pct=100.0 * (growth - 1.0),
        yearly_pct=_yearly(growth, years),
        max_drawdown_pct=100.0 * float(falls.max()),
    )


def efficiency(trained: Sequence[float | None], tested: Sequence[float | None]) -> float | None:
    """Return the mean yearly growth of the tests over that of the trainings (Pardo's walk-forward efficiency).

    Windows without either figure are left out; None where training did not grow: a ratio would then mislead.
    """
    pairs = [(a, b) for a, b in zip(trained, tested, strict=True) if a is not None and b is not None]
    below = sum(a for a, _ in pairs)
    return sum(b for _, b in pairs) / below if pairs and below > 0 else None


def stability(chosen: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Say for each parameter how much the windows agree: what was chosen, its spread, how often it changed.

    `spread` is the standard deviation over the mean's size, None for words and where the mean is 0.
    """
    names = chosen[0] if chosen else ()
    return {name: _agreement([each[name] for each in chosen]) for name in names}


def _agreement(values: list[Any]) -> dict[str, Any]:
    changes = sum(a != b for a, b in pairwise(values))
    usual = max(dict.fromkeys(values), key=values.count)
    spread = None
    if not any(isinstance(value, bool | str) for value in values):
        mean = float(np.mean(values))
        spread = float(np.std(values)) / abs(mean) if mean else None
    return {
        "values": values,
        "usual": usual,
        "usual_share": values.count(usual) / len(values),
        "changes": changes,
        "spread": spread,
    }


def _yearly(growth: float, years: float) -> float | None:
    if growth <= 0 or years < 1 / 365.25:
        return None
    exponent = np.log(growth) / years
    return 100.0 * float(np.expm1(exponent)) if exponent < 50 else None


def _size(window: Window) -> int:
    return window.end - window.test


def _after(at: Ints, start: int, length: Length) -> int:
    """Return the first bar that is `length` after bar `start`."""
    if length.bars:
        return min(start + length.bars, len(at))
    return int(np.searchsorted(at, _moved(int(at[start]), length, 1), side="left")) if len(at) else 0


def _before(at: Ints, stop: int, length: Length) -> int:
    """Return the first bar of the `length` that ends with bar `stop`."""
    if length.bars:
        return max(stop - length.bars, 0)
    return int(np.searchsorted(at, _moved(int(at[stop]), length, -1), side="left"))


def _moved(at: int, length: Length, direction: int) -> int:
    if length.seconds:
        return at + direction * length.seconds
    begin = datetime.fromtimestamp(at, UTC)
    months = begin.year * 12 + begin.month - 1 + direction * length.months
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        return at + direction * length.months * 31 * 86_400
    day = min(begin.day, monthrange(year, month + 1)[1])
    return int(begin.replace(year=year, month=month + 1, day=day).timestamp())
