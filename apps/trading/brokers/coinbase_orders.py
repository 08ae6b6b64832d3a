"""How does Coinbase Advanced Trade write orders and fills? Its words and ours, both ways."""

from datetime import datetime
from decimal import Decimal, InvalidOperation

import msgspec

from apps.domain import numbers
from apps.domain.orders import Execution, OrderKind, Report, Ticket, TimeInForce
from apps.domain.states import OrderStatus

_WORKING = {"OPEN", "PENDING", "QUEUED", "EDIT_QUEUED"}
_STATUSES = {
    "CANCEL_QUEUED": OrderStatus.CANCELLING,
    "FILLED": OrderStatus.FILLED,
    "CANCELLED": OrderStatus.CANCELLED,
    "EXPIRED": OrderStatus.EXPIRED,
}
_KINDS = {
    "MARKET": OrderKind.MARKET,
    "LIMIT": OrderKind.LIMIT,
    "STOP": OrderKind.STOP,
    "STOP_LIMIT": OrderKind.STOP_LIMIT,
}
_LIMITS = {TimeInForce.GTC: "limit_limit_gtc", TimeInForce.GTD: "limit_limit_gtd",
           TimeInForce.IOC: "sor_limit_ioc", TimeInForce.FOK: "limit_limit_fok"}  # fmt: skip


class Terms(msgspec.Struct):
    """What an order configuration says."""

    base_size: str = ""
    limit_price: str = ""
    stop_price: str = ""


class Told(msgspec.Struct):
    """One order as the venue shows it."""

    order_id: str
    product_id: str
    side: str
    client_order_id: str = ""
    status: str = "UNKNOWN_ORDER_STATUS"
    filled_size: str = "0"
    filled_value: str = "0"
    size_in_quote: bool = False
    pending_cancel: bool = False
    order_type: str = ""
    order_configuration: dict[str, Terms] = {}
    created_time: datetime | None = None
    last_fill_time: datetime | None = None
    reject_message: str = ""
    cancel_message: str = ""


class Done(msgspec.Struct):
    """One fill as the venue shows it; `commission` is in quote units."""

    entry_id: str
    order_id: str
    product_id: str
    price: str
    size: str
    trade_time: datetime
    commission: str = "0"
    size_in_quote: bool = False
    trade_type: str = "FILL"


class Failure(msgspec.Struct):
    """Why an order was refused."""

    error: str = ""
    message: str = ""
    error_details: str = ""
    preview_failure_reason: str = ""
    new_order_failure_reason: str = ""


class Success(msgspec.Struct):
    """The order that was taken."""

    order_id: str


class Placed(msgspec.Struct):
    """The answer to an order: HTTP 200 also when it was refused."""

    success: bool
    success_response: Success | None = None
    error_response: Failure | None = None


class CancelResult(msgspec.Struct):
    """What became of one cancel."""

    success: bool
    order_id: str
    failure_reason: str = ""


class Cancelled(msgspec.Struct):
    """The answer to a cancel of several orders."""

    results: list[CancelResult]


class EditError(msgspec.Struct):
    """Why an order was not changed."""

    edit_failure_reason: str = ""
    preview_failure_reason: str = ""


class Edited(msgspec.Struct):
    """The answer to a change."""

    success: bool
    errors: list[EditError] = []


class One(msgspec.Struct):
    """One order, looked up."""

    order: Told


class Orders(msgspec.Struct):
    """A page of orders, newest first."""

    orders: list[Told]
    has_next: bool = False
    cursor: str = ""


class Fills(msgspec.Struct):
    """A page of fills, newest first."""

    fills: list[Done]
    cursor: str = ""


class Money(msgspec.Struct):
    """An amount of a currency."""

    value: str


class Wallet(msgspec.Struct):
    """What is held of one currency."""

    currency: str
    available_balance: Money
    hold: Money


class Wallets(msgspec.Struct):
    """A page of currencies."""

    accounts: list[Wallet]
    has_next: bool = False
    cursor: str = ""


class Permissions(msgspec.Struct):
    """What the key may do."""

    can_trade: bool | None = None
    can_transfer: bool | None = None


class Time(msgspec.Struct):
    """The venue's clock."""

    iso: datetime


class Unreadable(ValueError):
    """The venue's answer holds what cannot be: a number that is none."""


def configuration(ticket: Ticket) -> dict[str, dict[str, str]]:
    """Return the order configuration of a ticket; prices and quantities as plain decimals."""
    terms = {"base_size": numbers.plain(ticket.quantity)}
    if ticket.limit_price is not None:
        terms["limit_price"] = numbers.plain(ticket.limit_price)
    if ticket.expires_at is not None:
        terms["end_time"] = ticket.expires_at.isoformat().replace("+00:00", "Z")
    if ticket.stop_price is not None:
        terms["stop_price"] = numbers.plain(ticket.stop_price)
        terms["stop_direction"] = "STOP_DIRECTION_STOP_UP" if ticket.buy else "STOP_DIRECTION_STOP_DOWN"
    return {_name(ticket): terms}


def _name(ticket: Ticket) -> str:
    if ticket.kind is OrderKind.MARKET:
        return "market_market_fok" if ticket.tif is TimeInForce.FOK else "market_market_ioc"
    if ticket.kind is OrderKind.STOP_LIMIT:
        return f"stop_limit_stop_limit_{'gtd' if ticket.tif is TimeInForce.GTD else 'gtc'}"
    return _LIMITS[ticket.tif]


def report(told: Told, executions: tuple[Execution, ...] = ()) -> Report:
    """Return an order as the venue shows it in our words. Raises Unreadable."""
    terms = next(iter(told.order_configuration.values()), Terms())
    filled = _filled(told, executions)
    return Report(
        client_id=told.client_order_id,
        venue_id=told.order_id,
        status=_status(told, filled),
        filled=filled,
        executions=executions,
        at=told.last_fill_time or told.created_time,
        reason=told.reject_message or told.cancel_message,
        symbol=told.product_id,
        buy=told.side == "BUY",
        quantity=_maybe(terms.base_size),
        kind=_KINDS.get(told.order_type),
        limit_price=_maybe(terms.limit_price),
        stop_price=_maybe(terms.stop_price),
    )


def _filled(told: Told, executions: tuple[Execution, ...]) -> Decimal:
    """The venue's own sum in base units; an order sized in quote units has only its fills to tell."""
    if told.size_in_quote:
        return sum((each.quantity for each in executions), Decimal(0))
    return amount(told.filled_size)


def _status(told: Told, filled: Decimal) -> OrderStatus:
    if told.status == "FAILED":  # it ended without the market; what was filled before stays filled
        return OrderStatus.CANCELLED if filled else OrderStatus.REJECTED
    if told.status not in _WORKING:
        return _STATUSES.get(told.status, OrderStatus.UNKNOWN)
    if told.pending_cancel:
        return OrderStatus.CANCELLING
    return OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.ACCEPTED


def execution(done: Done) -> Execution:
    """Return a fill in our words. Raises Unreadable."""
    price, size = amount(done.price), amount(done.size)
    if price <= 0 or size <= 0:
        raise Unreadable(f"a fill of {done.size} at {done.price} cannot be")
    return Execution(
        id=done.entry_id,
        quantity=numbers.stored(size / price) if done.size_in_quote else size,
        price=price,
        fee=amount(done.commission or "0"),
        fee_asset=done.product_id.rpartition("-")[2],
        at=done.trade_time,
    )


def amount(text: str) -> Decimal:
    """Return a number of the venue's, with the twelve decimals we store. Raises Unreadable."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or abs(value) >= numbers.LIMIT:
        raise Unreadable(f"{text[:40]!r} is not an amount")
    return numbers.stored(value)


def _maybe(text: str) -> Decimal | None:
    return amount(text) if text else None
