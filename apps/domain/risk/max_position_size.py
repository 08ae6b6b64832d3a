"""How many units of one instrument may be held on one side."""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from apps.domain.risk import measures
from apps.domain.risk.contract import Facts, Need, Rule, Verdict, exactly, parameter, verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Most:
    """The largest position."""

    units: float = parameter(
        1.0, "Base units of one instrument, all its lots on one side.", lowest=0, highest=1_000_000_000_000
    )


class MaxPositionSize(Rule[Most]):
    """The quantity of one instrument on one side, what working orders hold back included."""

    name = "max_position_size"
    Parameters = Most
    needs = frozenset({Need.HOLDINGS})
    continuous = True

    def judge(self, facts: Facts, parameters: Most) -> Verdict:
        """Compare the quantity after the order, or the largest one there is, with the units."""
        units: dict[tuple[int, int], Decimal] = defaultdict(Decimal)
        for each in facts.held:
            units[each.instrument_id, each.sign] += each.quantity
        wish = facts.wish
        if wish is None:
            number = max(units.values(), default=Decimal(0))
        else:
            number = measures.grown(units[wish.instrument_id, wish.sign], wish.quantity)
        limit = exactly(parameters.units)
        return verdict(
            self,
            allowed=not measures.too_much(number, limit),
            number=number,
            limit=limit,
            formula="held + quantity <= units",
            what="the position would be" if wish else "the largest position is",
            unit="units",
            remedy="choose a smaller quantity or leave a lot first",
        )
