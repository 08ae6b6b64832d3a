"""Which lots are left until a limit holds again: the largest loss first, and none whose end would make it worse."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from apps.domain.restrictions import Scope
from apps.domain.risk.contract import Verdict
from apps.domain.risk.facts import ZERO, Facts, Holding

_Key = tuple[int, int, int | None]  # instrument, sign, strategy


class Lot(NamedTuple):
    """One open position, as it counts for a limit."""

    id: int
    instrument_id: int
    symbol: str
    asset: str
    strategy_id: int | None
    sign: int
    quantity: Decimal  # base units still held
    value: Decimal  # at the last price, never negative
    gain: Decimal  # what leaving now would earn before fees

    def is_within(self, scope: Scope, target: int) -> bool:
        """Say whether a limit of that scope counts it."""
        if scope is Scope.STRATEGY:
            return self.strategy_id == target
        return scope is not Scope.INSTRUMENT or self.instrument_id == target


def worst_first(facts: Facts, lots: Iterable[Lot], judge: Callable[[Facts], Verdict]) -> list[int]:
    """Return the lots to leave so that `judge` allows what remains; all that help where nothing is enough.

    `facts` say everything but what is held: that is the lots, those outside the scope of the facts included.
    """
    held = _Held(lots)
    now, chosen = judge(held.facts(facts)), []
    for lot in sorted(held.lots, key=lambda each: (each.gain, each.id)):
        if now.allowed:
            break
        if not lot.is_within(facts.scope, facts.target):
            continue
        held.remove(lot)
        then = judge(held.facts(facts))
        if then.number > now.number and not then.allowed:
            held.add(lot)
            continue
        now = then
        chosen.append(lot.id)
    return chosen


class _Held:
    """What is held, summed up as rules see it, so that a judgement costs the same for many lots as for few."""

    def __init__(self, lots: Iterable[Lot]) -> None:
        self.lots = list(lots)
        self._sums: dict[_Key, Holding] = {}
        for lot in self.lots:
            self.add(lot)

    def add(self, lot: Lot) -> None:
        self._change(lot, 1)

    def remove(self, lot: Lot) -> None:
        self._change(lot, -1)

    def facts(self, facts: Facts) -> Facts:
        return replace(facts, holdings=tuple(each for each in self._sums.values() if each.lots))

    def _change(self, lot: Lot, way: int) -> None:
        key = (lot.instrument_id, lot.sign, lot.strategy_id)
        before = self._sums.get(key) or _nothing_of(lot)
        self._sums[key] = replace(
            before,
            quantity=before.quantity + way * lot.quantity,
            value=before.value + way * lot.value,
            lots=before.lots + way,
        )


def _nothing_of(lot: Lot) -> Holding:
    return Holding(
        instrument_id=lot.instrument_id,
        symbol=lot.symbol,
        asset=lot.asset,
        sign=lot.sign,
        quantity=ZERO,
        value=ZERO,
        lots=0,
        strategy_id=lot.strategy_id,
    )
