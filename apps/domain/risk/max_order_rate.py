"""How many entries a minute may have."""

from dataclasses import dataclass
from decimal import Decimal

from apps.domain.risk import measures
from apps.domain.risk.contract import Facts, Need, Rule, Verdict, parameter, verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Most:
    """The number of entries."""

    orders: int = parameter(60, "Entries approved within 60 seconds.", lowest=1, highest=100_000)


class MaxOrderRate(Rule[Most]):
    """Entries approved in the last minute: a strategy that runs wild is stopped; exits are never counted."""

    name = "max_order_rate"
    Parameters = Most
    needs = frozenset({Need.RATE})

    def judge(self, facts: Facts, parameters: Most) -> Verdict:
        """Count the entries of the last 60 seconds with this one."""
        return verdict(
            self,
            allowed=not measures.too_many(facts.orders, parameters.orders),
            number=Decimal(facts.orders + 1),
            limit=Decimal(parameters.orders),
            formula="entries in the last 60 s + 1 <= orders",
            what="entries within a minute would be",
            remedy="wait a minute",
        )
