"""How does Alpaca write orders, fills and holdings? Its words and ours, both ways."""

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from apps.domain import numbers
from apps.domain.orders import Execution, OrderKind, Report, Ticket
from apps.domain.states import OrderStatus
from apps.trading.brokers.base import Holding

# done_for_day works as well: the venue says expired when a day order has ended.
_WORKING = frozenset(
    ("new", "accepted", "pending_new", "accepted_for_bidding", "held", "stopped", "calculated", "suspended",
     "pending_replace", "partially_filled", "done_for_day")
)  # fmt: skip
_STATUSES = {
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELLED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
    "pending_cancel": OrderStatus.CANCELLING,
    # Somebody changed it on the venue's own page. What came of it is an order of its own, and none of ours.
    "replaced": OrderStatus.CANCELLED,
}


class Told(msgspec.Struct):
    """One order as the venue shows it."""

    id: str
    client_order_id: str
    symbol: str
    side: str
    status: str
    created_at: datetime
    qty: str | None = None
    filled_qty: str = "0"
    type: str = ""
    limit_price: str | None = None
    stop_price: str | None = None
    submitted_at: datetime | None = None
    updated_at: datetime | None = None
    filled_at: datetime | None = None
    replaced_by: str | None = None


class Done(msgspec.Struct):
    """One fill as the venue shows it; it charges nothing on the fill itself."""

    id: str
    order_id: str
    symbol: str
    price: str
    qty: str
    transaction_time: datetime
    activity_type: str = "FILL"


class Held(msgspec.Struct):
    """What is held of one instrument; the quantity of a short is negative."""

    symbol: str
    qty: str
    side: str = "long"
    qty_available: str | None = None


class AccountTold(msgspec.Struct):
    """The account's money and whether it may trade."""

    cash: str
    currency: str = "USD"
    status: str = "ACTIVE"
    trading_blocked: bool = False
    account_blocked: bool = False
    trade_suspended_by_user: bool = False


class Clock(msgspec.Struct):
    """The market's clock."""

    timestamp: datetime


class Unreadable(ValueError):
    """The venue's answer holds what cannot be: a number that is none."""


def body(ticket: Ticket) -> dict[str, Any]:
    """Return an order as the venue wants it; prices and quantities as plain decimals."""
    prices = {"limit_price": ticket.limit_price, "stop_price": ticket.stop_price}
    return {
        "symbol": ticket.symbol,
        "qty": numbers.plain(ticket.quantity),
        "side": "buy" if ticket.buy else "sell",
        "type": ticket.kind.value,
        "time_in_force": ticket.tif.value,
        "order_class": "simple",
        "client_order_id": ticket.client_id,
        **{name: numbers.plain(price) for name, price in prices.items() if price is not None},
    }


def report(told: Told, executions: tuple[Execution, ...] = ()) -> Report:
    """Return an order as the venue shows it in our words. Raises Unreadable."""
    filled = amount(told.filled_qty)
    return Report(
        client_id=told.client_order_id,
        venue_id=told.id,
        status=_status(told, filled),
        filled=filled,
        executions=executions,
        at=told.filled_at or told.updated_at or told.created_at,
        reason=_reason(told),
        symbol=told.symbol,
        buy=told.side == "buy",
        quantity=_maybe(told.qty),
        kind=OrderKind(told.type) if told.type in set(OrderKind) else None,
        limit_price=_maybe(told.limit_price),
        stop_price=_maybe(told.stop_price),
    )


def execution(done: Done) -> Execution:
    """Return a fill in our words; fees of an exchange come later, in the venue's own lines. Raises Unreadable."""
    price, quantity = amount(done.price), amount(done.qty)
    if price <= 0 or quantity <= 0:
        raise Unreadable(f"a fill of {done.qty[:40]} at {done.price[:40]} cannot be")
    return Execution(
        id=done.id, quantity=quantity, price=price, fee=Decimal(0), fee_asset="USD", at=done.transaction_time
    )


def holding(held: Held) -> Holding:
    """Return what is held of an instrument, negative for short. Raises Unreadable."""
    quantity = amount(held.qty)
    if held.side == "short":
        quantity = -abs(quantity)
    return Holding(asset=held.symbol, quantity=quantity, available=_maybe(held.qty_available))


def amount(text: str) -> Decimal:
    """Return a number of the venue's, with the twelve decimals we store. Raises Unreadable."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or abs(value) >= numbers.LIMIT:
        raise Unreadable(f"{text[:40]!r} is not an amount")
    return numbers.stored(value)


def _maybe(text: str | None) -> Decimal | None:
    return amount(text) if text else None


def _status(told: Told, filled: Decimal) -> OrderStatus:
    if told.status in _WORKING:
        return OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.ACCEPTED
    return _STATUSES.get(told.status, OrderStatus.UNKNOWN)


def _reason(told: Told) -> str:
    if told.status == "replaced":
        return f"replaced at the venue by {told.replaced_by or 'another order'}"
    return "" if told.status in {"new", "filled", "partially_filled"} else told.status.replace("_", " ")
