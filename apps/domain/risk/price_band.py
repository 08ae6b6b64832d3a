"""How far an order's price may be from the last one."""

from dataclasses import dataclass

from apps.domain.risk import measures
from apps.domain.risk.contract import Facts, Need, Rule, Verdict, exactly, parameter, ratio, unable, verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The width of the band."""

    rate: float = parameter(0.05, "Of the last price, to either side: 0.05 is 5 %.", lowest=0.0001, highest=10)


class PriceBand(Rule[Band]):
    """The distance of an order's price from the last quote: a slip of the finger, or a price out of a feed's error."""

    name = "price_band"
    Parameters = Band
    needs = frozenset({Need.QUOTE})

    def judge(self, facts: Facts, parameters: Band) -> Verdict:
        """Compare the distance with the rate."""
        formula = "|price - last price| / last price <= rate"
        if facts.wish is None or facts.price is None:
            return unable(self.name, "there is no last price to compare with", "wait for a price", formula)
        last, limit = facts.price.last, exactly(parameters.rate)
        distance = measures.away(facts.wish.price, last)
        return verdict(
            self,
            allowed=not measures.too_much(distance, measures.share(last, limit)),
            number=ratio(distance, last),
            limit=limit,
            formula=formula,
            what="the price's distance from the last one is",
            unit="%",
            remedy=f"choose a price nearer to {last.normalize():f}",
        )
