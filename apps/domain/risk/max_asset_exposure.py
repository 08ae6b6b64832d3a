"""How much may be at stake in one asset, whatever it is quoted in."""

from collections import defaultdict
from decimal import Decimal

from apps.domain.risk import measures
from apps.domain.risk.bounds import Exposure
from apps.domain.risk.contract import Facts, Need, Rule, Verdict, unable, verdict


class MaxAssetExposure(Rule[Exposure]):
    """What all positions in one asset are worth together, longs and shorts added, working orders included."""

    name = "max_asset_exposure"
    Parameters = Exposure
    needs = frozenset({Need.MONEY})
    continuous = True

    def judge(self, facts: Facts, parameters: Exposure) -> Verdict:
        """Compare what is held of the wanted asset plus the order, or the most there is of any, with the limit."""
        formula = f"sum of |positions in the asset| + order <= {parameters.words}"
        if facts.equity is None:
            return unable(self.name, "the account's equity is not known", "wait for prices", formula)
        held: dict[str, Decimal] = defaultdict(Decimal)
        for each in facts.held:
            held[each.asset] += each.value
        wish, limit = facts.wish, parameters.bound(facts.equity)
        asset = wish.asset if wish else max(held, key=held.__getitem__, default="any asset")
        number = measures.grown(held[asset], wish.value if wish else Decimal(0))
        return verdict(
            self,
            allowed=not measures.too_much(number, limit),
            number=number,
            limit=limit,
            formula=formula,
            what=f"exposure to {asset} {'would be' if wish else 'is'}",
            unit=facts.currency,
            remedy=f"choose a smaller quantity or leave a position in {asset} first",
        )
