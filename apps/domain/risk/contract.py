"""What a risk rule is: a name, parameters with bounds, the facts it needs, and a judgement that explains itself."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Generic, TypeVar

from apps.domain import numbers
from apps.domain.errors import Problem, Refused
from apps.domain.risk.facts import Facts, Need
from apps.domain.strategies import parameters
from apps.domain.strategies.parameters import Parameters, choice, parameter, switch

__all__ = [
    "Facts",
    "Need",
    "Parameters",
    "Rule",
    "Verdict",
    "build",
    "choice",
    "exactly",
    "parameter",
    "ratio",
    "schema",
    "switch",
    "unable",
    "verdict",
]

P = TypeVar("P", bound=Parameters)
_LONGEST = 40  # signs of a number; a quotient may have many more


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one rule said: the number it saw, its limit, how the number comes about, and what to do when it refuses."""

    rule: str
    allowed: bool
    number: Decimal
    limit: Decimal
    formula: str
    finding: str
    remedy: str = ""
    known: bool = True  # False: it could not judge. That refuses an entry, and says nothing of what is held

    @property
    def sentence(self) -> str:
        """Say the number, the limit and what to do."""
        return self.finding if self.allowed or not self.remedy else f"{self.finding}; {self.remedy}"

    @property
    def problem(self) -> Problem:
        """Return a refusal as the problem of an input."""
        return Problem(field=self.rule, value=_text(self.number), rule=self.finding, remedy=self.remedy)

    def as_json(self) -> dict[str, Any]:
        """Return it as it is stored, decimals as plain text."""
        return {
            "rule": self.rule,
            "allowed": self.allowed,
            "number": _text(self.number),
            "limit": _text(self.limit),
            "formula": self.formula,
            "sentence": self.sentence,
        }


class Rule(ABC, Generic[P]):
    """One limit of what an account may do. A plug-in names itself, its parameters, and the facts it looks at.

    A `continuous` one can also judge the present state, without a wish: then the monitor watches it all the time.
    """

    name: ClassVar[str]
    Parameters: ClassVar[type[Parameters]]
    needs: ClassVar[frozenset[Need]]
    continuous: ClassVar[bool] = False

    @abstractmethod
    def judge(self, facts: Facts, parameters: P) -> Verdict:
        """Say whether the wish may be granted, or, without a wish, whether the present state is within the limit."""


def build(plugin: type[Rule[Any]], values: Mapping[str, Any]) -> Parameters:
    """Make the parameters of a rule, defaults for those not given. Raises Refused with every problem found."""
    known = parameters.properties(plugin.Parameters)
    found = [_unknown(name, value, plugin.name, sorted(known)) for name, value in values.items() if name not in known]
    if found:
        raise Refused(*found)
    made: Parameters = plugin.Parameters(**parameters.chosen(plugin.Parameters, values))
    return made


def schema(plugin: type[Rule[Any]]) -> dict[str, Any]:
    """Describe the parameters of a rule as a JSON schema, for forms and the API."""
    return {
        "title": plugin.name,
        "description": (plugin.__doc__ or plugin.name).strip().partition("\n")[0],
        "type": "object",
        "additionalProperties": False,
        "properties": parameters.properties(plugin.Parameters),
    }


def verdict(
    rule: Rule[Any], *, allowed: bool, number: Decimal, limit: Decimal, formula: str, what: str, unit: str = "",
    remedy: str,
) -> Verdict:  # fmt: skip
    """Put a judgement into words: '{what} {number}, within the limit of {limit}'; a unit of % shows rates as such."""
    seen, bound = _shown(number, unit), _shown(limit, unit)
    finding = f"{what} {seen}, {'within' if allowed else 'beyond'} the limit of {bound}"
    return Verdict(
        rule=rule.name, allowed=allowed, number=number, limit=limit, formula=formula, finding=finding, remedy=remedy
    )


def unable(name: str, why: str, remedy: str, formula: str = "") -> Verdict:
    """Refuse because the rule cannot judge: what is not known protects nobody."""
    zero = Decimal(0)
    return Verdict(
        rule=name, allowed=False, number=zero, limit=zero, formula=formula, finding=why, remedy=remedy, known=False
    )


def exactly(value: float) -> Decimal:
    """Return the decimal that a parameter was written as: 0.1 is one tenth."""
    return Decimal(str(value))


def ratio(part: Decimal, whole: Decimal) -> Decimal:
    """Return one number as a rate of another, twelve decimals where they fit."""
    return _rounded(part / whole, 12)


def _rounded(value: Decimal, places: int) -> Decimal:
    return round(value, places) if abs(value) < numbers.LIMIT else value


def _shown(value: Decimal, unit: str) -> str:
    if unit == "%":
        return f"{_text(_rounded(value * 100, 4))}%"
    return f"{_text(_rounded(value, 8))}{f' {unit}' if unit else ''}"


def _text(value: Decimal) -> str:
    text = numbers.plain(value)
    return text if len(text) <= _LONGEST else numbers.plain(_rounded(value, 8))[:_LONGEST]


def _unknown(name: str, value: Any, rule: str, known: list[str]) -> Problem:
    remedy = f"use one of {', '.join(known)}" if known else "leave it out"
    return Problem(field=name[:60], value=repr(value)[:60], rule=f"is not a parameter of {rule}", remedy=remedy)
