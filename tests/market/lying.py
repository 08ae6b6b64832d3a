"""A cache that lies: seeded, it answers with what was true once, with what never was, or with nothing."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from apps.market import cache
from apps.market.cache import Candle, LatestQuote, ListedInstrument, Tiers

SEED = 20261121


@dataclass(slots=True)
class Liar(Tiers):
    """Tiers that ask the database, remember every answer ever given, and then say something else."""

    seed: int = SEED
    told: list[str] = field(default_factory=list)
    _past: dict[str, list[Any]] = field(default_factory=dict)
    _dice: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._dice.seed(self.seed)

    def get(self, wanted: Any) -> Any:
        rows = wanted.load()
        past = self._past.setdefault(wanted.key, [])
        past.append(rows)
        kind = self._dice.choice(("stale", "wrong", "nothing"))
        self.told.append(kind)
        if kind == "nothing":
            return ()
        return past[0] if kind == "stale" else tuple(wrong(row, self._dice) for row in rows)


def wrong(row: Any, dice: random.Random) -> Any:
    factor = Decimal(dice.choice(("0.001", "0.5", "1.7", "1000")))
    if isinstance(row, LatestQuote):
        return replace(row, price=row.price * factor, bid=None, ask=None)
    if isinstance(row, ListedInstrument):
        return replace(row, enabled=not row.enabled, lot_size=row.lot_size * factor, id=row.id + 1_000_000)
    assert isinstance(row, Candle)
    return replace(row, open=row.open * factor, close=row.close * factor)


@contextmanager
def lying(seed: int = SEED) -> Iterator[Liar]:
    """Let the cache of this process lie."""
    liar = Liar(seed=seed)
    with cache.use(liar):
        yield liar
