"""How did an account do, whatever was paid in and out? Growth between two points with the deposits taken out.

A deposit counts as made at the beginning of its step, a withdrawal as made at its end, so that what is divided by is
never less than what was at work.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple

_STEP: Final = Decimal(1).scaleb(-18)  # finer than any money, so that rounding never shows


class Step(NamedTuple):
    """The equity at the end of a stretch, and what was paid in (positive) or out during it."""

    equity: Decimal
    deposits: Decimal


def growth(before: Decimal, step: Step) -> Decimal:
    """Return by which factor what was at work grew during one step; 1 when nothing was."""
    base = before + max(step.deposits, Decimal(0))
    return (step.equity - min(step.deposits, Decimal(0))) / base if base > 0 else Decimal(1)


def index(steps: Sequence[Step], before: Decimal = Decimal(0)) -> list[Decimal]:
    """Return what 1 became after each step, starting from an equity; never below 0."""
    value, found = Decimal(1), []
    for step in steps:
        value = (value * max(growth(before, step), Decimal(0))).quantize(_STEP)
        found.append(value)
        before = step.equity
    return found


def depths(values: Sequence[Decimal], peak: Decimal = Decimal(1)) -> list[Decimal]:
    """Return how far each value is below the highest before it, as a rate: 0.2 is 20 %."""
    found = []
    for value in values:
        peak = max(peak, value)
        found.append(1 - value / peak)
    return found
