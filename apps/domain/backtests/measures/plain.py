"""How does a measure become a figure that JSON can say? Whatever is no finite number becomes None."""

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

Figure: TypeAlias = float | int | str | None
NAN = math.nan


def ratio(above: float, below: float) -> float:
    """Divide, NaN where the divisor is 0 or either is no number."""
    if below == 0 or not math.isfinite(above) or not math.isfinite(below):
        return NAN
    return float(above) / float(below)


def percent(rate: float) -> float:
    return float(rate) * 100.0


def power(base: float, exponent: float) -> float:
    """Raise a growth factor to a power; 0 when nothing is left, NaN beyond what a float holds."""
    if base <= 0:
        return 0.0
    grown = math.log(base) * exponent
    return math.exp(grown) if grown < math.log(1e12) else NAN


def mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else NAN


def extreme(values: Any, biggest: bool) -> float:
    if not len(values):
        return NAN
    return float(np.max(values) if biggest else np.min(values))


def figures(found: Mapping[str, Any]) -> dict[str, Figure]:
    """Return the measures as plain numbers and text, None for NaN and infinity."""
    return {key: _figure(value) for key, value in found.items()}


def _figure(value: Any) -> Figure:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_ | int | np.integer):
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else None
