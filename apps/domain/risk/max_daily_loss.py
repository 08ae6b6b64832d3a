"""How much may be lost in one UTC day."""

from apps.domain.risk import measures
from apps.domain.risk.bounds import Loss
from apps.domain.risk.contract import Facts, Need, Rule, Verdict, unable, verdict


class MaxDailyLoss(Rule[Loss]):
    """The loss since midnight UTC, open positions included; once reached it holds until the next day."""

    name = "max_daily_loss"
    Parameters = Loss
    needs = frozenset({Need.MONEY, Need.HISTORY})
    continuous = True

    def judge(self, facts: Facts, parameters: Loss) -> Verdict:
        """Compare the worst equity of the day with the equity at its start."""
        formula = "equity at 00:00 UTC - lowest equity since < limit"
        if facts.equity is None or facts.history is None:
            return unable(self.name, "the account's equity is not known", "wait for prices", formula)
        start = facts.history.day_start
        worst = min(facts.equity, start + facts.history.worst_today)
        floor = parameters.floor(start)
        return verdict(
            self,
            allowed=not measures.fallen(worst, floor),
            number=start - worst,
            limit=start - floor,
            formula=formula,
            what="the loss of the day is",
            unit=facts.currency,
            remedy="wait for the next UTC day",
        )
