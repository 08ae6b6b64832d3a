"""What was an account worth where nobody wrote it down? Its cash, and what it held at the closes of candles."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from apps.domain import numbers
from apps.market import selectors as market
from apps.market.store import StoreUnavailable, Timeframe, closes
from apps.market.store.timeframes import floor


class Source(StrEnum):
    """Where a point comes from."""

    RECORDED = "recorded"  # the risk monitor wrote it then
    REBUILT = "rebuilt"  # from the ledger, the fills and candles
    ESTIMATED = "estimated"  # the same, where a candle was missing and the last fill's price stood in


class Worth(NamedTuple):
    """What an account was worth, and how that is known."""

    equity: Decimal
    source: Source


class Bounds(NamedTuple):
    """Stretches of one length from `since` to `until`, both on their grid."""

    since: datetime
    until: datetime
    width: timedelta

    def buckets(self) -> list[datetime]:
        """Return the beginnings of the stretches."""
        return [self.since + number * self.width for number in range((self.until - self.since) // self.width)]


class _Held(NamedTuple):
    """How the holding of one instrument changed in one stretch, and at what price it was traded last."""

    instrument: int
    quantity: Decimal
    price: Decimal | None


def of(
    held: Iterable[tuple[datetime | None, int, Decimal, Decimal | None]],
    cash: Mapping[datetime | None, tuple[Decimal, Decimal]],
    bounds: Bounds,
) -> tuple[dict[datetime, Worth], str]:
    """Return the worth at the end of every stretch, and why candles are missing if the store did not answer.

    `held` are (stretch, instrument, quantity, last price), `cash` is (amount, deposits) by stretch; those before all
    stretches are under None.
    """
    moves: dict[datetime | None, list[_Held]] = defaultdict(list)
    for at, instrument, quantity, price in held:
        moves[at].append(_Held(instrument, quantity, price))
    instruments = {move.instrument for rows in moves.values() for move in rows}
    prices, trouble = _closes(sorted(instruments), bounds)
    nothing = Decimal(0)
    money, book, found = cash.get(None, (nothing,))[0], _Book(), {}
    book.move(moves[None])
    for at in bounds.buckets():
        money += cash.get(at, (nothing,))[0]
        book.move(moves[at])
        book.see(prices[at])
        found[at] = book.worth(money)
    return found, trouble


class _Book:
    """What is held and at what price, as time goes on."""

    def __init__(self) -> None:
        self._quantities: dict[int, Decimal] = defaultdict(Decimal)
        self._prices: dict[int, Decimal] = {}
        self._seen: set[int] = set()  # priced by a candle since their last fill

    def move(self, moves: Sequence[_Held]) -> None:
        for move in moves:
            self._quantities[move.instrument] += move.quantity
            if move.price is not None:
                self._prices[move.instrument] = move.price
                self._seen.discard(move.instrument)

    def see(self, prices: Mapping[int, Decimal]) -> None:
        self._prices |= prices
        self._seen |= set(prices)

    def worth(self, money: Decimal) -> Worth:
        held = [(one, quantity) for one, quantity in self._quantities.items() if quantity]
        value = sum((numbers.money(quantity * self._prices[one]) for one, quantity in held), money)
        known = all(one in self._seen for one, _ in held)
        return Worth(value, Source.REBUILT if known else Source.ESTIMATED)


def _closes(instruments: list[int], bounds: Bounds) -> tuple[dict[datetime, dict[int, Decimal]], str]:
    """Return the last close of every instrument in every stretch that has one."""
    found: dict[datetime, dict[int, Decimal]] = defaultdict(dict)
    if not instruments:
        return found, ""
    frame = max((one for one in Timeframe if not bounds.width % one.width), key=lambda one: one.width)
    try:
        rows = closes.of(market.market_store(), instruments, frame, bounds.since, bounds.until)
    except StoreUnavailable as error:
        return found, str(error)
    for one, at, close in rows:
        found[floor(at, bounds.width)][one] = close
    return found, ""
