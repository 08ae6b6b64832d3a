"""How much one strategy may have at stake."""

from collections import defaultdict
from decimal import Decimal

from apps.domain.risk import measures
from apps.domain.risk.bounds import Exposure
from apps.domain.risk.contract import Facts, Need, Rule, Verdict, unable, verdict


class MaxStrategyExposure(Rule[Exposure]):
    """What all positions of one strategy in the account are worth, longs and shorts added; those of people are free."""

    name = "max_strategy_exposure"
    Parameters = Exposure
    needs = frozenset({Need.MONEY})
    continuous = True

    def judge(self, facts: Facts, parameters: Exposure) -> Verdict:
        """Compare what the strategy holds plus the order, or the most that any holds, with the limit."""
        formula = f"sum of |positions of the strategy| + order <= {parameters.words}"
        if facts.equity is None:
            return unable(self.name, "the account's equity is not known", "wait for prices", formula)
        held: dict[int, Decimal] = defaultdict(Decimal)
        for each in facts.held:
            if each.strategy_id is not None:
                held[each.strategy_id] += each.value
        limit, wish = parameters.bound(facts.equity), facts.wish
        number = max(held.values(), default=Decimal(0))
        if wish is not None:
            of_strategy = wish.strategy_id is not None
            number = measures.grown(held[wish.strategy_id], wish.value) if wish.strategy_id is not None else Decimal(0)
            what = "exposure of the strategy would be" if of_strategy else "no strategy asks for it: exposure"
        else:
            what = "the largest exposure of a strategy is"
        return verdict(
            self,
            allowed=not measures.too_much(number, limit),
            number=number,
            limit=limit,
            formula=formula,
            what=what,
            unit=facts.currency,
            remedy="allocate less to the strategy or leave one of its positions first",
        )
