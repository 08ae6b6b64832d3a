"""How many losing trades in a row end the day."""

from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal

from apps.domain.risk import measures
from apps.domain.risk.contract import Facts, Need, Rule, Verdict, parameter, verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Most:
    """The length of a streak."""

    losses: int = parameter(3, "Losing trades in a row that end the day.", lowest=1, highest=25)


class MaxLossStreak(Rule[Most]):
    """Losing trades in a row: once there are as many, nothing is opened until the next UTC day."""

    name = "max_loss_streak"
    Parameters = Most
    needs = frozenset({Need.CLOSINGS})

    def judge(self, facts: Facts, parameters: Most) -> Verdict:
        """Walk through the closed trades and see whether a streak became full today; a full one starts anew."""
        streak, full = 0, False
        today = facts.now.astimezone(UTC).date()
        for trade in reversed(facts.closed):
            streak = measures.streak_after(streak, trade.net)
            if streak and measures.too_many(streak, parameters.losses):
                full = full or trade.at.astimezone(UTC).date() == today
                streak = 0
        number = parameters.losses if full else streak
        return verdict(
            self,
            allowed=not full,
            number=Decimal(number),
            limit=Decimal(parameters.losses),
            formula="losses in a row < losses, until the next UTC day",
            what="losses in a row are",
            remedy="wait for the next UTC day",
        )
