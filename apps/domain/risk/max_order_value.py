"""How much one order may be worth."""

from dataclasses import dataclass

from apps.domain.risk import measures
from apps.domain.risk.contract import Facts, Rule, Verdict, exactly, parameter, verdict
from apps.domain.risk.facts import ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Most:
    """The largest order."""

    amount: float = parameter(10_000.0, "In the account's currency.", lowest=0, highest=1_000_000_000_000)


class MaxOrderValue(Rule[Most]):
    """The value of one order, at the price it is expected to fill at."""

    name = "max_order_value"
    Parameters = Most
    needs = frozenset()

    def judge(self, facts: Facts, parameters: Most) -> Verdict:
        """Compare price times quantity with the amount."""
        value = facts.wish.value if facts.wish else ZERO
        limit = exactly(parameters.amount)
        return verdict(
            self,
            allowed=not measures.too_much(value, limit),
            number=value,
            limit=limit,
            formula="price * quantity <= amount",
            what="the order is worth",
            unit=facts.currency,
            remedy="choose a smaller quantity",
        )
