"""Does this order fill at these prices, how much of it, and at what price? The rules of the built-in paper venue.

A market order, and a stop once it is triggered, takes the best price of the other side in force when it acts, made
worse by the slippage. A limit order that meets a better price when it arrives takes that price; after that it waits in
the book and fills at its limit, once the market trades there or the other side comes to it. Nothing that happened
before an order acts, or after it expires, fills it. The same marks give the same fills, however often one looks.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from operator import attrgetter

from apps.domain import fills, numbers
from apps.domain.fills import Costs
from apps.domain.orders import OrderKind, TimeInForce
from apps.domain.states import OrderStatus

AT_ONCE = frozenset({TimeInForce.IOC, TimeInForce.FOK})
STOPS = frozenset({OrderKind.STOP, OrderKind.STOP_LIMIT})
LIMITS = frozenset({OrderKind.LIMIT, OrderKind.STOP_LIMIT})
_AT = attrgetter("at")
AT_ONCE_WITHIN = timedelta(seconds=10)  # how long an order that must fill at once waits for any price at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The market at one instant: a print, and the best prices around it where they are known."""

    at: datetime
    id: int  # the venue's number of the print: tells those of one instant apart
    price: Decimal
    size: Decimal = Decimal(0)  # base units; 0 where it is not known
    bid: Decimal | None = None
    ask: Decimal | None = None

    def opposite(self, buy: bool) -> Decimal:
        """Return the price at which an order could trade at once: the ask for a buy, the last price without one."""
        best = self.ask if buy else self.bid
        return self.price if best is None else best


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a venue fills: what it costs, its grids, and in how many pieces."""

    costs: Costs
    tick_size: Decimal
    lot_size: Decimal
    pieces: int = 1  # an order is filled in so many pieces
    pause: timedelta = timedelta(milliseconds=200)  # between two pieces of an order that takes what is there
    by_volume: bool = False  # a waiting order fills no more than was traded
    at_touch: bool = True  # a waiting order fills at a print at its limit; otherwise only beyond it
    maker_share: Decimal = Decimal(1)  # of the fee, for orders that waited; negative is a rebate


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One fill; quantity in base units, fee in quote currency, negative for a rebate."""

    quantity: Decimal
    price: Decimal
    fee: Decimal
    at: datetime
    maker: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An order as the venue's book holds it."""

    buy: bool
    kind: OrderKind
    tif: TimeInForce
    quantity: Decimal
    acts_at: datetime
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    expires_at: datetime | None = None
    status: OrderStatus = OrderStatus.ACCEPTED
    filled: Decimal = Decimal(0)
    pieces: tuple[Piece, ...] = ()
    triggered_at: datetime | None = None
    rests_at: datetime | None = None  # since when it waits in the book
    through: tuple[datetime, int] | None = None  # the last mark that filled it
    why: str = ""

    @property
    def rest(self) -> Decimal:
        """Return what is not filled yet."""
        return self.quantity - self.filled

    @property
    def is_stop(self) -> bool:
        """Say whether it still waits to be triggered."""
        return self.kind in STOPS and self.triggered_at is None

    @property
    def takes_at(self) -> datetime:
        """Return since when it takes or waits: a stop from its trigger on."""
        return max(self.acts_at, self.triggered_at or self.acts_at)


def match(order: Standing, marks: Sequence[Mark], terms: Terms, *, now: datetime, known: datetime) -> Standing:
    """Return what becomes of an order by the marks (in order of time) up to `now`.

    Marks may reach back before the order acts: the last of them is the price in force then. `known` is the instant
    up to which every print has arrived: an order expires only when nothing of its time can still come.
    """
    if order.acts_at > now or order.status not in {OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED}:
        return order
    counting = _counting(order, marks, now)
    order = _triggered(order, counting)
    if not order.is_stop:
        order = (_rested if order.kind in LIMITS else _taken)(order, counting, terms, now)
    return _ended(order, known)


def is_within_reach(order: Standing, low: Decimal, high: Decimal) -> bool:
    """Say whether prices of a span could change anything about an order: cheap, and never wrongly no."""
    if order.is_stop and order.stop_price is not None:
        return high >= order.stop_price if order.buy else low <= order.stop_price
    if order.kind in LIMITS and order.rests_at is not None and order.limit_price is not None:
        return low <= order.limit_price if order.buy else high >= order.limit_price
    return True


def _counting(order: Standing, marks: Sequence[Mark], now: datetime) -> list[Mark]:
    """Return the mark in force when the order acts, as of then, and all that come later while it works."""
    first = bisect_right(marks, order.acts_at, key=_AT)
    last = bisect_right(marks, now, key=_AT)
    if order.expires_at is not None:
        last = min(last, bisect_left(marks, order.expires_at, key=_AT))
    in_force = [replace(marks[first - 1], at=order.acts_at, size=Decimal(0))] if first else []
    return [*in_force, *marks[first:last]]


def _triggered(order: Standing, marks: Sequence[Mark]) -> Standing:
    if not order.is_stop or order.stop_price is None:
        return order
    for mark in marks:
        if mark.price >= order.stop_price if order.buy else mark.price <= order.stop_price:
            return replace(order, triggered_at=mark.at)
    return order


def _taken(order: Standing, marks: Sequence[Mark], terms: Terms, now: datetime) -> Standing:
    """Fill an order that takes what is there, piece by piece, each at the price in force at its time."""
    while order.rest > 0:
        due = order.pieces[-1].at + terms.pause if order.pieces else order.takes_at
        mark = _in_force(marks, due)
        if mark is None or max(mark.at, due) > now or _is_over(order) or _is_late(order, due):
            break
        order = _with(order, _taking(order, mark, _next_quantity(order, terms), max(mark.at, due), terms), mark)
        order = _at_once(order, "the rest could not be filled at once")
    return order


def _rested(order: Standing, marks: Sequence[Mark], terms: Terms, _: datetime) -> Standing:
    limit = order.limit_price
    assert limit is not None, "a limit order has a limit"
    for mark in marks:
        if order.rests_at is None and mark.at >= order.takes_at:
            order = _arrived(order, mark, limit, terms)
        elif order.rests_at is not None and _reaches(order.buy, mark, limit, terms.at_touch):
            order = _waited(order, mark, limit, terms)
        if _is_over(order):
            break
    return order


def _arrived(order: Standing, mark: Mark, limit: Decimal, terms: Terms) -> Standing:
    """Meet the market for the first time: what is better than the limit is taken, the rest waits or is cancelled."""
    best = mark.opposite(order.buy)
    if best <= limit if order.buy else best >= limit:
        order = _with(order, _taking(order, mark, _next_quantity(order, terms), mark.at, terms), mark)
    return replace(_at_once(order, "it could not be filled at once at its limit"), rests_at=mark.at)


def _waited(order: Standing, mark: Mark, limit: Decimal, terms: Terms) -> Standing:
    # The first mark is the price in force before the order acted: no print of its time.
    if mark.at <= order.takes_at or (order.through is not None and (mark.at, mark.id) <= order.through):
        return order
    quantity = _next_quantity(order, terms)
    if terms.by_volume and mark.size > 0:
        quantity = min(quantity, numbers.floor_to(mark.size, terms.lot_size))
    if quantity <= 0:
        return order
    fee = numbers.money(fills.fee(limit, quantity, terms.costs) * terms.maker_share)
    return _with(order, Piece(quantity=quantity, price=limit, fee=fee, at=mark.at, maker=True), mark)


def _reaches(buy: bool, mark: Mark, limit: Decimal, at_touch: bool) -> bool:
    """Say whether the market trades at or beyond a waiting order's limit, or offers to."""
    best = mark.ask if buy else mark.bid
    if best is not None and (best <= limit if buy else best >= limit):
        return True
    return (mark.price < limit if buy else mark.price > limit) or (at_touch and mark.price == limit)


def _taking(order: Standing, mark: Mark, quantity: Decimal, at: datetime, terms: Terms) -> Piece:
    price = fills.slipped(1 if order.buy else -1, mark.opposite(order.buy), terms.costs, terms.tick_size)
    if order.limit_price is not None and order.kind in LIMITS:
        price = min(price, order.limit_price) if order.buy else max(price, order.limit_price)
    fee = fills.fee(price, quantity, terms.costs)
    return Piece(quantity=quantity, price=price, fee=fee, at=at, maker=False)


def _with(order: Standing, piece: Piece, mark: Mark) -> Standing:
    filled = order.filled + piece.quantity
    status = OrderStatus.FILLED if filled >= order.quantity else OrderStatus.PARTIALLY_FILLED
    through = (mark.at, mark.id)
    return replace(order, filled=filled, status=status, pieces=(*order.pieces, piece), through=through)


def _next_quantity(order: Standing, terms: Terms) -> Decimal:
    """Return the next piece: equal parts on the lot grid, the last takes what is left."""
    if order.tif == TimeInForce.FOK or len(order.pieces) + 1 >= terms.pieces:
        return order.rest
    part = numbers.floor_to(order.quantity / terms.pieces, terms.lot_size)
    return min(part, order.rest) if part > 0 else order.rest


def _in_force(marks: Sequence[Mark], at: datetime) -> Mark | None:
    """Return the last mark up to an instant, else the first after it."""
    before = [mark for mark in marks if mark.at <= at]
    return before[-1] if before else (marks[0] if marks else None)


def _is_late(order: Standing, at: datetime) -> bool:
    return order.expires_at is not None and at >= order.expires_at


def _is_over(order: Standing) -> bool:
    return order.status in {OrderStatus.FILLED, OrderStatus.CANCELLED}


def _at_once(order: Standing, why: str) -> Standing:
    if order.tif not in AT_ONCE or order.rest <= 0:
        return order
    return replace(order, status=OrderStatus.CANCELLED, why=why)


def _ended(order: Standing, known: datetime) -> Standing:
    if _is_over(order):
        return order
    if _is_late(order, known):
        return replace(order, status=OrderStatus.EXPIRED, why="its time is over")
    if not order.is_stop and order.takes_at + AT_ONCE_WITHIN <= known:
        return _at_once(order, "there was no price to fill it at")
    return order
