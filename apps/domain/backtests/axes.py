"""Which values of a parameter shall be tried? `fast=5:50:5`, `fast=5,8,13`, `fast=10`, `fast=*` for all its bounds."""

import math
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

from apps.domain.errors import Problem, Refused

Value: TypeAlias = int | float | str | bool
GRID_POINTS: Final = 11  # of a range without a step, on a grid
MOST_POINTS: Final = 100_000
_KINDS: Final = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "a word"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The values of one parameter: those listed, or else everything from `low` to `high`, both included."""

    name: str
    listed: tuple[Value, ...] = ()
    whole: bool = False
    low: float = 0.0
    high: float = 0.0

    @property
    def fixed(self) -> bool:
        """Say whether there is nothing to choose."""
        return len(self.listed) == 1

    @property
    def size(self) -> int | None:
        """Return how many values there are, None for a continuum."""
        if self.listed:
            return len(self.listed)
        return int(self.high - self.low) + 1 if self.whole else None

    def points(self) -> tuple[Value, ...]:
        """Return the values a grid tries, in order: a continuum is cut into evenly spaced ones."""
        if self.listed:
            return self.listed
        if self.whole:
            return tuple(range(int(self.low), int(self.high) + 1))
        step = (self.high - self.low) / (GRID_POINTS - 1)
        return (*(tidy(self.low + number * step) for number in range(GRID_POINTS - 1)), self.high)

    def draw(self, source: random.Random) -> Value:
        """Return one value, each as likely as the others."""
        if self.listed:
            return source.choice(self.listed)
        if self.whole:
            return source.randint(int(self.low), int(self.high))
        return tidy(source.uniform(self.low, self.high))

    def as_json(self) -> dict[str, Any]:
        """Return the axis as it is stored."""
        return {**asdict(self), "listed": list(self.listed)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Axis":
        """Return what `as_json` gave."""
        return cls(**{**stored, "listed": tuple(stored["listed"])})


def axis(name: str, text: str, about: Mapping[str, Any]) -> Axis:
    """Read what a person wrote for a parameter; `about` is its JSON schema. Raises Refused when it says no values."""
    kind = str(about.get("type", "number"))
    if text == "*":
        return _bounds(name, kind, about)
    if kind in {"integer", "number"} and ":" in text:
        return _range(name, text, kind, about)
    listed = tuple(dict.fromkeys(_value(name, word.strip(), kind) for word in text.split(",")))
    for value in listed:
        _must_be_allowed(name, value, about)
    return Axis(name=name, listed=listed, whole=kind == "integer")


def _bounds(name: str, kind: str, about: Mapping[str, Any]) -> Axis:
    if kind == "boolean":
        return Axis(name=name, listed=(False, True))
    if "enum" in about:
        return Axis(name=name, listed=tuple(about["enum"]))
    if "minimum" not in about or "maximum" not in about:
        raise _refused(name, "*", "has no bounds to search between", "write a range like 5:50:5")
    whole = kind == "integer"
    return Axis(name=name, whole=whole, low=float(about["minimum"]), high=float(about["maximum"]))


def _range(name: str, text: str, kind: str, about: Mapping[str, Any]) -> Axis:
    parts = text.split(":")
    if len(parts) not in (2, 3):
        raise _refused(name, text, "is no range", "write LOW:HIGH or LOW:HIGH:STEP, like 5:50:5")
    # Decimal, so that 0.1:0.3:0.1 has three values and they are 0.1, 0.2 and 0.3.
    low, high, *step = (_exact(name, part, whole=kind == "integer") for part in parts)
    if low > high or (step and step[0] <= 0):
        raise _refused(name, text, "must rise by a positive step", f"write {high}:{low}" if low > high else "use 1")
    for value in (low, high):
        _must_be_allowed(name, float(value), about)
    if not step:
        return Axis(name=name, whole=kind == "integer", low=float(low), high=float(high))
    count = int((high - low) / step[0]) + 1
    if count > MOST_POINTS:
        raise _refused(name, text, f"has {count} values, more than {MOST_POINTS}", "use a larger step")
    number = int if kind == "integer" else float
    return Axis(name=name, whole=kind == "integer", listed=tuple(number(low + i * step[0]) for i in range(count)))


def _value(name: str, word: str, kind: str) -> Value:
    if kind == "integer":
        return int(_exact(name, word, whole=True))
    if kind == "number":
        return float(_exact(name, word, whole=False))
    if kind == "boolean":
        if word.lower() not in {"true", "false", "yes", "no"}:
            raise _refused(name, word, "must be true or false", "use true")
        return word.lower() in {"true", "yes"}
    return word


def _exact(name: str, word: str, *, whole: bool) -> Decimal:
    try:
        found = Decimal(word.strip())
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or (whole and found != found.to_integral_value()):
        raise _refused(name, word, f"must be {_KINDS['integer' if whole else 'number']}", "use 5:50:5 or 5,10,20")
    return found


def _must_be_allowed(name: str, value: Value, about: Mapping[str, Any]) -> None:
    if "enum" in about and value not in about["enum"]:
        raise _refused(name, str(value), f"must be one of {', '.join(map(str, about['enum']))}", "use one of them")
    if isinstance(value, bool | str):
        return
    low, high = about.get("minimum", -math.inf), about.get("maximum", math.inf)
    if not low <= value <= high:
        raise _refused(name, f"{value:g}", f"must be from {low} to {high}", f"stay between {low} and {high}")


def tidy(value: float) -> float:
    """Drop digits that nobody would write: two searches that mean the same value shall find the same trial."""
    return float(f"{value:.9g}")


def _refused(name: str, value: str, rule: str, remedy: str) -> Refused:
    return Refused(Problem(field=name, value=value[:60], rule=rule, remedy=remedy))
