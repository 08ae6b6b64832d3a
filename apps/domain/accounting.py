"""What did selling gain? Fills of one instrument matched first in first out, or at the average cost of what is held.

The venue sees the net of all lots, and so does this book: a fill against what is held leaves it, oldest first, and
what exceeds it opens the other way. Every share of an amount is rounded once and the last share is the rest, so what
was gained adds up exactly, whichever method is chosen: once nothing is held both have the same total.
"""

from collections import deque
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from apps.domain import numbers


class Method(StrEnum):
    """Which cost a sale is set against."""

    FIFO = "fifo"  # that of the units bought first
    AVERAGE = "average"  # that of an average unit held


class Trade(NamedTuple):
    """One fill as the book sees it: base units that changed hands, what was paid for them, and the fee, in quote."""

    at: datetime
    buy: bool
    quantity: Decimal
    notional: Decimal
    fee: Decimal


class Disposal(NamedTuple):
    """Units that were bought and sold, in either order; `fees` are the shares of both fills."""

    bought_at: datetime
    sold_at: datetime
    short: bool  # sold first
    quantity: Decimal
    proceeds: Decimal
    cost: Decimal
    fees: Decimal

    @property
    def profit(self) -> Decimal:
        """What it gained before fees."""
        return self.proceeds - self.cost

    @property
    def gain(self) -> Decimal:
        """What it gained after the fees of both sides."""
        return self.proceeds - self.cost - self.fees

    @property
    def realised_at(self) -> datetime:
        """When the second of the two was done."""
        return self.bought_at if self.short else self.sold_at


class _Lot:
    """Units opened by one fill and still held."""

    __slots__ = ("at", "fee", "notional", "quantity")

    def __init__(self, at: datetime, quantity: Decimal, notional: Decimal, fee: Decimal) -> None:
        self.at, self.quantity, self.notional, self.fee = at, quantity, notional, fee


class Book:
    """The units of one instrument on one account. Fills are given in the order in which they happened."""

    __slots__ = ("_average", "_lots", "cost", "fees", "quantity", "short")

    def __init__(self, method: Method) -> None:
        self._average = method is Method.AVERAGE
        self._lots: deque[_Lot] = deque()
        self.short = False  # which way it is held; means nothing while nothing is
        self.quantity = Decimal(0)
        self.cost = Decimal(0)  # of what is held, what a short was sold for
        self.fees = Decimal(0)  # paid for opening what is held

    def add(self, trade: Trade) -> list[Disposal]:
        """Book a fill and return what it realised, oldest units first."""
        if not self._lots:
            self.short = not trade.buy
        if trade.buy is not self.short:
            self._open(trade.at, trade.quantity, trade.notional, trade.fee)
            return []
        return self._close(trade)

    def worth(self, price: Decimal) -> Decimal:
        """Return what leaving all of it at a price would gain, before fees."""
        value = numbers.money(price * self.quantity)
        return self.cost - value if self.short else value - self.cost

    def _open(self, at: datetime, quantity: Decimal, notional: Decimal, fee: Decimal) -> None:
        self._lots.append(_Lot(at, quantity, notional, fee))
        self.quantity += quantity
        self.cost += notional
        self.fees += fee

    def _close(self, trade: Trade) -> list[Disposal]:
        at, _, left, notional, fee = trade
        found = []
        while left and self._lots:
            lot = self._lots[0]
            part = min(left, lot.quantity)
            got, paid = share(notional, part, left), share(fee, part, left)
            cost, charged = self._take(lot, part)
            left, notional, fee = left - part, notional - got, fee - paid
            bought, sold = (at, lot.at) if self.short else (lot.at, at)
            proceeds, spent = (cost, got) if self.short else (got, cost)
            found.append(Disposal(bought, sold, self.short, part, proceeds, spent, paid + charged))
        if left:
            self.short = not trade.buy
            self._open(at, left, notional, fee)
        return found

    def _take(self, lot: _Lot, part: Decimal) -> tuple[Decimal, Decimal]:
        """Take units out of the oldest lot and return their cost and the fee paid for them."""
        if self._average:
            cost, fee = share(self.cost, part, self.quantity), share(self.fees, part, self.quantity)
        else:
            cost, fee = share(lot.notional, part, lot.quantity), share(lot.fee, part, lot.quantity)
            lot.notional -= cost
            lot.fee -= fee
        lot.quantity -= part
        if not lot.quantity:
            self._lots.popleft()
        self.quantity -= part
        self.cost -= cost
        self.fees -= fee
        return cost, fee


def share(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """Return the share of an amount that falls to a part, eight decimals; all of it to the whole."""
    return amount if part == whole else numbers.money(amount * part / whole)
