"""How many lots may be open at the same time."""

from dataclasses import dataclass
from decimal import Decimal

from apps.domain.risk import measures
from apps.domain.risk.contract import Facts, Need, Rule, Verdict, parameter, verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Most:
    """The number of lots."""

    lots: int = parameter(10, "Open lots and working entry orders together.", lowest=1, highest=1_000_000)


class MaxOpenPositions(Rule[Most]):
    """The number of open lots in the scope, entry orders that work included."""

    name = "max_open_positions"
    Parameters = Most
    needs = frozenset({Need.HOLDINGS})
    continuous = True

    def judge(self, facts: Facts, parameters: Most) -> Verdict:
        """Count the lots after the order."""
        lots = sum(each.lots for each in facts.held)
        full = measures.too_many(lots, parameters.lots) if facts.wish else lots > parameters.lots
        return verdict(
            self,
            allowed=not full,
            number=Decimal(lots + (facts.wish is not None)),
            limit=Decimal(parameters.lots),
            formula="open lots + 1 <= lots",
            what="open lots would be" if facts.wish else "open lots are",
            remedy="leave a position first",
        )
