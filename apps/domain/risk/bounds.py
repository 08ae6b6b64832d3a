"""Limits that are said as a rate of equity, as an amount, or as both: the lower one counts."""

from dataclasses import dataclass
from decimal import Decimal

from apps.domain.errors import Problem, Refused
from apps.domain.risk import measures
from apps.domain.risk.contract import exactly, parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """How much may be at stake; 0 leaves one of the two out."""

    rate: float = parameter(1.0, "Of the account's equity: 1 is all of it. 0: no such limit.", lowest=0, highest=1000)
    amount: float = parameter(0.0, "In the account's currency. 0: no such limit.", lowest=0, highest=1_000_000_000_000)

    def __post_init__(self) -> None:
        if not self.rate and not self.amount:
            rule, remedy = "a rate or an amount must be above 0", "switch the limit off instead of setting both to 0"
            raise Refused(Problem(field="rate", value="0", rule=rule, remedy=remedy))

    def bound(self, equity: Decimal) -> Decimal:
        """Return the limit in the account's currency; a rate of an equity below zero is nothing."""
        bounds = [exactly(self.amount)] if self.amount else []
        if self.rate:
            bounds.append(measures.share(max(equity, Decimal(0)), exactly(self.rate)))
        return min(bounds)

    @property
    def words(self) -> str:
        """Say the limit as a formula."""
        parts = [f"{self.rate:g} * equity"] if self.rate else []
        parts += [f"{self.amount:g}"] if self.amount else []
        return parts[0] if len(parts) == 1 else f"min({', '.join(parts)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """How much may be lost; 0 leaves one of the two out."""

    rate: float = parameter(0.05, "Of the equity before the loss: 0.05 is 5 %. 0: no such limit.", lowest=0, highest=1)
    amount: float = parameter(0.0, "In the account's currency. 0: no such limit.", lowest=0, highest=1_000_000_000_000)

    def __post_init__(self) -> None:
        if not self.rate and not self.amount:
            rule, remedy = "a rate or an amount must be above 0", "switch the limit off instead of setting both to 0"
            raise Refused(Problem(field="rate", value="0", rule=rule, remedy=remedy))

    def floor(self, base: Decimal) -> Decimal:
        """Return the equity at which the limit is reached."""
        floors = [base - exactly(self.amount)] if self.amount else []
        if self.rate:
            floors.append(measures.lowest(base, exactly(self.rate)))
        return max(floors)
