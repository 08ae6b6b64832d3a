"""How alike a new position may be to what is held already."""

from dataclasses import dataclass
from decimal import Decimal

from apps.domain.risk import measures
from apps.domain.risk.contract import Facts, Need, Rule, Verdict, exactly, parameter, switch, unable, verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """The highest correlation."""

    most: float = parameter(0.8, "Of hourly returns with any position held; 1 is alike.", lowest=0, highest=1)
    known: bool = switch(True, "Refuse as well where too few candles are known.")


class MaxCorrelation(Rule[Likeness]):
    """The correlation of candle returns with each position held; a short of what is held long counts the other way."""

    name = "max_correlation"
    Parameters = Likeness
    needs = frozenset({Need.HOLDINGS, Need.RETURNS})

    def judge(self, facts: Facts, parameters: Likeness) -> Verdict:
        """Compare the highest correlation with the limit; lots of the same instrument are no other position."""
        formula = "max over held of side * side * correlation(returns) <= most"
        wish, highest, alike = facts.wish, Decimal(-1), ""
        others = [each for each in facts.held if wish is not None and each.instrument_id != wish.instrument_id]
        for each in others:
            found = facts.returns.get(each.instrument_id)
            if wish is None or found is None or found.correlation is None:
                if parameters.known:
                    why = f"the correlation with {each.symbol} is not known"
                    return unable(self.name, why, "wait until both have enough hourly candles", formula)
                continue
            number = round(wish.sign * each.sign * exactly(found.correlation), 4)
            if number > highest:
                highest, alike = number, each.symbol
        number = highest if alike else Decimal(0)
        return verdict(
            self,
            allowed=not measures.too_much(number, exactly(parameters.most)),
            number=number,
            limit=exactly(parameters.most),
            formula=formula,
            what=f"the correlation with {alike} is" if alike else "nothing else is held: the correlation is",
            remedy=f"leave {alike} first or choose something less alike" if alike else "",
        )
