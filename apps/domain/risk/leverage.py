"""How many times its equity an account may hold."""

from dataclasses import dataclass, replace

from apps.domain.risk import measures
from apps.domain.risk.contract import Facts, Need, Rule, Verdict, exactly, parameter, ratio, unable, verdict
from apps.domain.risk.facts import ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """The multiple."""

    times: float = parameter(1.0, "Of the account's equity: 1 is what it owns.", lowest=0.01, highest=1000)


class Leverage(Rule[Times]):
    """All positions of the account over its equity, whatever the scope says."""

    name = "leverage"
    Parameters = Times
    needs = frozenset({Need.MONEY})
    continuous = True

    def judge(self, facts: Facts, parameters: Times) -> Verdict:
        """Compare the multiple after the order with the limit."""
        formula = "(sum of |positions of the account| + order) / equity <= times"
        gross = sum((each.value for each in facts.holdings), ZERO)
        wanted = measures.grown(gross, facts.wish.value) if facts.wish else gross
        if facts.equity is None:
            return unable(self.name, "the account's equity is not known", "pay in or leave positions", formula)
        if facts.equity <= 0 and wanted > 0:  # a breach, although there is no number for it
            spent = unable(self.name, f"the account's equity is {facts.equity:f}", "pay in or leave positions", formula)
            return replace(spent, known=True)
        limit = exactly(parameters.times)
        number = ratio(wanted, facts.equity) if wanted else ZERO
        return verdict(
            self,
            allowed=not measures.too_much(wanted, measures.share(max(facts.equity, ZERO), limit)),
            number=number,
            limit=limit,
            formula=formula,
            what="leverage would be" if facts.wish else "leverage is",
            remedy="choose a smaller quantity or leave a position first",
        )
