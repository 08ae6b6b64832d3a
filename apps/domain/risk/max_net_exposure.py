"""How far longs and shorts may be out of balance."""

from apps.domain.risk import measures
from apps.domain.risk.bounds import Exposure
from apps.domain.risk.contract import Facts, Need, Rule, Verdict, unable, verdict


class MaxNetExposure(Rule[Exposure]):
    """Longs less shorts in the scope, in either direction; an order that brings them nearer to balance is allowed."""

    name = "max_net_exposure"
    Parameters = Exposure
    needs = frozenset({Need.MONEY})
    continuous = True

    def judge(self, facts: Facts, parameters: Exposure) -> Verdict:
        """Compare the distance from balance after the order with the limit."""
        formula = f"|longs - shorts + order| <= {parameters.words}"
        if facts.equity is None:
            return unable(self.name, "the account's equity is not known", "wait for prices", formula)
        wish, limit, before = facts.wish, parameters.bound(facts.equity), facts.net
        after = measures.grown(before, wish.sign * wish.value) if wish else before
        number, nearer = abs(after), measures.nearer(before, after)
        return verdict(
            self,
            allowed=nearer or not measures.too_much(number, limit),
            number=number,
            limit=limit,
            formula=formula,
            what="net exposure would be" if wish else "net exposure is",
            unit=facts.currency,
            remedy="choose a smaller quantity or leave a position on the same side first",
        )
