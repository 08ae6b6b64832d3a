"""What an execution at a venue means for a lot and its books, and what an exit has still to leave."""

from dataclasses import dataclass, replace
from decimal import Decimal

from apps.domain import fills, numbers
from apps.domain.orders import Execution


@dataclass(frozen=True, slots=True, kw_only=True)
class Traded:
    """An execution in the terms of a lot: what it moved net of a fee in the base asset, and what it cost."""

    id: str
    gross: Decimal  # base units, as the venue reports them
    net: Decimal  # base units that came or went in all: bought less, sold with, the fee in the base asset
    price: Decimal
    fee: Decimal  # quote currency; what a third asset paid is not in it
    fee_asset: str  # empty: the quote currency
    fee_paid: Decimal  # in `fee_asset`; negative is a rebate
    third: Decimal  # what a third asset paid, in that asset


def traded(one: Execution, *, buy: bool, base: str, quote: str) -> Traded:
    """Return what an execution moved and cost; a fee in the base asset is worth what it was traded at.

    Net quantity times price plus the fee is, to the last digit of the ledger, what the venue took or gave in cash.
    """
    asset = one.fee_asset.upper()
    paid = numbers.stored(one.fee)
    if asset in ("", quote.upper()):
        return _traded(one, net=one.quantity, fee=numbers.money(paid), asset="", paid=numbers.money(paid))
    if asset != base.upper():
        return _traded(one, net=one.quantity, fee=Decimal(0), asset=asset, paid=numbers.money(paid), third=paid)
    net = one.quantity - paid if buy else one.quantity + paid
    if net <= 0:  # a fee as large as the trade: no lot comes of it, the money is gone
        net = one.quantity
        return _traded(one, net=net, fee=numbers.money(paid * one.price), asset=asset, paid=paid)
    moved = numbers.money(one.price * one.quantity) - numbers.money(one.price * net)
    return _traded(one, net=net, fee=moved if buy else -moved, asset=asset, paid=paid)


def _traded(
    one: Execution, *, net: Decimal, fee: Decimal, asset: str, paid: Decimal, third: Decimal = Decimal(0)
) -> Traded:
    return Traded(
        id=one.id,
        gross=one.quantity,
        net=net,
        price=one.price,
        fee=fee,
        fee_asset=asset,
        fee_paid=paid,
        third=numbers.money(third),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """An execution of an exit, cut where the lot ends: `closes` leaves the lot, `beyond` is more than it held."""

    closes: Traded | None
    beyond: Traded | None


def cut(one: Traded, remaining: Decimal) -> Parts:
    """Cut an execution where the lot ends; a fee in money goes with the part that closes, if there is one.

    A fee in the base asset that the lot cannot pay is no overfill: the venue took it from elsewhere.
    """
    if one.net <= remaining:
        return Parts(closes=one, beyond=None)
    if not remaining:
        return Parts(closes=None, beyond=one)
    if one.gross <= remaining:
        fee = numbers.money(one.price * remaining) - numbers.money(one.price * one.gross)
        return Parts(closes=replace(one, net=remaining, fee=fee), beyond=None)
    closes = replace(one, gross=remaining, net=remaining)
    beyond = replace(one, gross=one.gross - remaining, net=one.net - remaining)
    # A fee in the base asset is base that moved: it belongs to the part that it moved with.
    if one.net != one.gross:
        return Parts(closes=_free(closes), beyond=beyond)
    return Parts(closes=closes, beyond=_free(beyond))


def _free(one: Traded) -> Traded:
    return replace(one, fee=Decimal(0), fee_asset="", fee_paid=Decimal(0), third=Decimal(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited:
    """What one execution took out of a lot."""

    quantity: Decimal
    basis: Decimal
    pnl: Decimal
    line: fills.Line


def leave(sign: int, remaining: Decimal, cost: Decimal, entry_price: Decimal, one: Traded) -> Exited:
    """Return what an execution takes out of what is held, at most all of it; basis is what it had cost."""
    whole = one.net == remaining
    basis = cost if whole else min(numbers.money(entry_price * one.net), cost)
    proceeds = numbers.money(one.price * one.net)
    return Exited(
        quantity=one.net,
        basis=basis,
        pnl=fills.gain(sign, basis, proceeds),
        line=fills.closing(sign, basis, proceeds, one.fee),
    )


def write_off(sign: int, cost: Decimal) -> fills.Line:
    """Return the line that takes what cannot be sold out of the books: its cost is a loss (a gain for a short)."""
    return fills.Line(cash=Decimal(0), holdings=-cost * sign, fees=Decimal(0), pnl=cost * sign)


def rest(*, remaining: Decimal, ordered: Decimal | None, filled: Decimal, lot_size: Decimal) -> Decimal:
    """Return how much of a lot an exit has still to leave, in whole lots; 0 when nothing more can be.

    `ordered` is what its first order was for and `filled` what all its orders left; None is for all that is held.
    """
    wanted = remaining if ordered is None else min(max(ordered - filled, Decimal(0)), remaining)
    return numbers.floor_to(wanted, lot_size)


def is_dust(remaining: Decimal, lot_size: Decimal) -> bool:
    """Say whether what is held is too little to be sold."""
    return 0 < remaining < lot_size
