"""How much everything that is held may be worth, longs and shorts added."""

from apps.domain.risk import measures
from apps.domain.risk.bounds import Exposure
from apps.domain.risk.contract import Facts, Need, Rule, Verdict, unable, verdict


class MaxGrossExposure(Rule[Exposure]):
    """What all positions in the scope are worth, longs and shorts added, working orders included."""

    name = "max_gross_exposure"
    Parameters = Exposure
    needs = frozenset({Need.MONEY})
    continuous = True

    def judge(self, facts: Facts, parameters: Exposure) -> Verdict:
        """Compare what is held plus the order with the limit."""
        formula = f"sum of |positions| + order <= {parameters.words}"
        if facts.equity is None:
            return unable(self.name, "the account's equity is not known", "wait for prices", formula)
        wish, limit = facts.wish, parameters.bound(facts.equity)
        number = measures.grown(facts.gross, wish.value) if wish else facts.gross
        return verdict(
            self,
            allowed=not measures.too_much(number, limit),
            number=number,
            limit=limit,
            formula=formula,
            what="gross exposure would be" if wish else "gross exposure is",
            unit=facts.currency,
            remedy="choose a smaller quantity or leave a position first",
        )
