"""How far the best offers may be apart."""

from dataclasses import dataclass, replace

from apps.domain.risk import measures
from apps.domain.risk.contract import Facts, Need, Rule, Verdict, exactly, parameter, ratio, switch, unable, verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The widest spread."""

    rate: float = parameter(0.01, "Of the middle between bid and ask: 0.01 is 1 %.", lowest=0.0001, highest=2)
    known: bool = switch(True, "Refuse as well where the feed gives no bid and ask.")


class MaxSpread(Rule[Spread]):
    """The distance between bid and ask: in a thin market an entry costs more than it says."""

    name = "max_spread"
    Parameters = Spread
    needs = frozenset({Need.QUOTE})

    def judge(self, facts: Facts, parameters: Spread) -> Verdict:
        """Compare the spread with the rate."""
        formula, limit = "(ask - bid) / ((ask + bid) / 2) <= rate", exactly(parameters.rate)
        price = facts.price
        if price is None or price.bid is None or price.ask is None:
            found = unable(self.name, "bid and ask are not known", "wait for them, or let them be unknown", formula)
            return found if parameters.known else _free(found)
        number = ratio((price.ask - price.bid) * 2, price.ask + price.bid)
        return verdict(
            self,
            allowed=not measures.too_much(number, limit),
            number=number,
            limit=limit,
            formula=formula,
            what="the spread is",
            unit="%",
            remedy="wait for a narrower one, or use a limit order where the broker takes them",
        )


def _free(found: Verdict) -> Verdict:
    return replace(found, allowed=True)
