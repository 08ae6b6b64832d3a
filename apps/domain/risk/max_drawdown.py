"""How far the equity may fall from its highest."""

from dataclasses import dataclass

from apps.domain.risk import measures
from apps.domain.risk.contract import Facts, Need, Rule, Verdict, exactly, parameter, ratio, unable, verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """The deepest fall."""

    rate: float = parameter(0.2, "Of the highest equity: 0.2 is 20 %.", lowest=0.0001, highest=1)


class MaxDrawdown(Rule[Fall]):
    """The fall from the highest equity, deposits and withdrawals not counted."""

    name = "max_drawdown"
    Parameters = Fall
    needs = frozenset({Need.MONEY, Need.HISTORY})
    continuous = True

    def judge(self, facts: Facts, parameters: Fall) -> Verdict:
        """Compare the fall from the peak with the rate."""
        formula = "(peak - equity) / peak < rate"
        if facts.equity is None or facts.history is None:
            return unable(self.name, "the account's equity is not known", "wait for prices", formula)
        peak, rate = max(facts.history.peak, facts.equity), exactly(parameters.rate)
        if peak <= 0:
            return unable(self.name, f"the account has no money: its peak is {peak:f}", "pay something in", formula)
        return verdict(
            self,
            allowed=not measures.fallen(facts.equity, measures.lowest(peak, rate)),
            number=ratio(peak - facts.equity, peak),
            limit=rate,
            formula=formula,
            what="the fall from the highest equity is",
            unit="%",
            remedy="wait until positions recover, or let a person raise the limit",
        )
