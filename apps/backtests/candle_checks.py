"""May these candles be backtested on? Every row that no market can have made is named, oddities are only noted."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.backtests import moments
from apps.domain.errors import Problem, Refused
from apps.domain.strategies.contract import Candles

SHOWN: Final = 20  # problems of one kind that are told one by one
_ROUNDING: Final = 1e-9

Flags = npt.NDArray[np.bool_]


def insist(candles: Candles, name: str, lines: npt.NDArray[np.int64], found: tuple[Problem, ...] = ()) -> None:
    """Raise Refused with what was found before and every row that is impossible; SHOWN of a kind, the rest counted."""
    said = {problem.field for problem in found}
    problems = [*found[:SHOWN], *(problem for problem in _problems(candles, lines) if problem.field not in said)]
    if len(found) > SHOWN:
        problems.append(_more(f"{len(found) - SHOWN} more problems", name, "mend these first"))
    if problems:
        raise Refused(*problems)


def oddities(candles: Candles) -> tuple[str, ...]:
    """Say what is strange about candles without being impossible, one sentence each."""
    low, high = candles.low * (1 - _ROUNDING), candles.high * (1 + _ROUNDING)
    outside = (candles.open < low) | (candles.open > high) | (candles.close < low) | (candles.close > high)
    count = int(np.count_nonzero(outside))
    if not count:
        return ()
    first = moments.shown(candles.at[int(np.argmax(outside))])
    return (f"{count} bars open or close outside of their own low and high, the first at {first}",)


def _problems(candles: Candles, lines: npt.NDArray[np.int64]) -> Iterator[Problem]:
    if len(candles.at) > 1 and bool((np.diff(candles.at) < 0).all()):
        yield Problem(
            field="time",
            value=f"{moments.shown(candles.at[0])} is first, {moments.shown(candles.at[-1])} last",
            rule="bars must be in order, the oldest first; these go backwards",
            remedy="sort the file by time",
        )
    else:
        yield from _misplaced(candles.at, lines)
    for name in ("open", "high", "low", "close"):
        yield from _not_positive(getattr(candles, name), name.title(), lines)
    yield from _upside_down(candles, lines)
    negative = ~(candles.volume >= 0) & ~np.isnan(candles.volume) | np.isinf(candles.volume)
    yield from _each(
        negative, lines, lambda n: (str(candles.volume[n]), "Volume must be zero or more", "mend the line")
    )


def _misplaced(at: npt.NDArray[np.int64], lines: npt.NDArray[np.int64]) -> Iterator[Problem]:
    steps = np.diff(at, prepend=at[:1] - 1)
    yield from _each(
        steps == 0, lines, lambda n: (moments.shown(at[n]), "the bar before has the same time", "keep one of the two")
    )
    yield from _each(
        steps < 0,
        lines,
        lambda n: (moments.shown(at[n]), f"comes after {moments.shown(at[n - 1])}", "sort the file by time"),
    )


def _not_positive(values: npt.NDArray[np.float64], name: str, lines: npt.NDArray[np.int64]) -> Iterator[Problem]:
    wrong = ~(values > 0) | np.isinf(values)
    rule = f"{name} must be a number above zero"
    yield from _each(wrong, lines, lambda n: (str(values[n]), rule, "mend the price or leave the bar out"))


def _upside_down(candles: Candles, lines: npt.NDArray[np.int64]) -> Iterator[Problem]:
    remedy = "mend the prices or leave the bar out"
    yield from _each(
        (candles.high < candles.low) & np.isfinite(candles.low),  # an infinite one was told already
        lines,
        lambda n: (f"High {candles.high[n]}, Low {candles.low[n]}", "High must not be below Low", remedy),
    )


def _each(wrong: Flags, lines: npt.NDArray[np.int64], say: Callable[[int], tuple[str, str, str]]) -> Iterator[Problem]:
    places = np.flatnonzero(wrong)
    for place in places[:SHOWN]:
        value, rule, remedy = say(int(place))
        yield Problem(field=f"line {lines[place]}", value=value, rule=rule, remedy=remedy)
    if len(places) > SHOWN:
        yield _more(f"{len(places) - SHOWN} more lines", say(int(places[0]))[1], "mend these first")


def _more(count: str, what: str, remedy: str) -> Problem:
    return Problem(field=count, value=what, rule="are not listed", remedy=remedy)
