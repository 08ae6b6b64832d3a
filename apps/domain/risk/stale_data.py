"""How old the last price may be."""

from dataclasses import dataclass
from decimal import Decimal

from apps.domain.risk import measures
from apps.domain.risk.contract import Facts, Need, Rule, Verdict, exactly, parameter, unable, verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """The greatest age."""

    seconds: float = parameter(
        5.0, "Since the feed last said anything about the instrument.", lowest=0.1, highest=86_400
    )


class StaleData(Rule[Age]):
    """The age of the last price; the site's own limit for entries, QUOTE_STALE_AFTER, applies besides."""

    name = "stale_data"
    Parameters = Age
    needs = frozenset({Need.QUOTE})

    def judge(self, facts: Facts, parameters: Age) -> Verdict:
        """Compare the age with the seconds."""
        formula, limit = "now - last word of the feed <= seconds", exactly(parameters.seconds)
        if facts.price is None:
            return unable(self.name, "there is no price yet", "wait for one", formula)
        number = max(round(Decimal(str(facts.price.age.total_seconds())), 3), Decimal(0))
        return verdict(
            self,
            allowed=not measures.too_much(number, limit),
            number=number,
            limit=limit,
            formula=formula,
            what="the age of the last price is",
            unit="s",
            remedy="wait until the feed is live again",
        )
