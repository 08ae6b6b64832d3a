"""How does ccxt write orders and trades? Its words and ours, both ways; numbers are texts."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from apps.domain import numbers
from apps.domain.orders import Execution, OrderKind, Report, Ticket
from apps.domain.states import OrderStatus
from apps.trading.brokers.base import Holding

_ENDS = {
    "canceled": OrderStatus.CANCELLED,
    "expired": OrderStatus.EXPIRED,
    "rejected": OrderStatus.REJECTED,
    "canceling": OrderStatus.CANCELLING,
}
_WORKING = frozenset({"open", None})  # many answers to a new order say nothing of it but its id
_LIMITS = frozenset({OrderKind.LIMIT, OrderKind.STOP_LIMIT})

_ALPHANUMERIC = frozenset({"okx", "okxus", "myokx"})
_DASH = "N"  # in no client id of ours
_MADE = re.compile(rf"(?P<id>[a-z]+\d+[-{_DASH}]\d+)", re.ASCII)  # gate puts `t-` before it

Row = Mapping[str, Any]


class Unreadable(ValueError):
    """An answer holds what cannot be: a number that is none, a price that would be rounded."""


def request(ticket: Ticket, to_amount: Callable[[float], str], to_price: Callable[[float], str]) -> list[Any]:
    """Return the arguments of ccxt's create_order. Raises Unreadable for what the exchange would round."""
    params: dict[str, Any] = {"clientOrderId": ticket.client_id}
    if ticket.stop_price is not None:
        params["triggerPrice"] = _exact(ticket.stop_price, to_price, "stop price")
    if ticket.kind in _LIMITS:
        params["timeInForce"] = ticket.tif.value.upper()
    if ticket.reduce_only:
        params["reduceOnly"] = True
    price = None if ticket.limit_price is None else _exact(ticket.limit_price, to_price, "limit price")
    kind = "limit" if ticket.kind in _LIMITS else "market"
    quantity = _exact(ticket.quantity, to_amount, "quantity")
    return [ticket.symbol, kind, "buy" if ticket.buy else "sell", quantity, price, params]


def sent_id(exchange: str, client_id: str) -> str:
    """Return a client id as an exchange takes it: some know letters and digits only."""
    return client_id.replace("-", _DASH) if exchange in _ALPHANUMERIC else client_id


def our_id(order: Row) -> str:
    """Return the client id that an order shows as we made it, without what the exchange or ccxt did to it."""
    shown = str(order.get("clientOrderId") or "")
    made = _MADE.fullmatch(shown.removeprefix("t-"))
    return made["id"].replace(_DASH, "-") if made else shown


def report(order: Row, client_id: str, executions: Sequence[Execution] = ()) -> Report:
    """Return an order in our words; the client id is ours where the exchange shows none. Raises Unreadable."""
    filled = amount(order.get("filled") or "0")
    filled = max(filled, sum((one.quantity for one in executions), Decimal(0)))
    quantity = _maybe(order.get("amount"))
    return Report(
        client_id=client_id or str(order.get("clientOrderId") or ""),
        venue_id=str(order.get("id") or ""),
        status=_status(order, filled, quantity),
        filled=filled,
        executions=tuple(executions),
        at=instant(order.get("lastTradeTimestamp") or order.get("timestamp")),
        symbol=str(order.get("symbol") or ""),
        buy=order["side"] == "buy" if order.get("side") else None,
        quantity=quantity,
        kind=_kind(order),
        limit_price=_maybe(order.get("price")),
        stop_price=_maybe(order.get("triggerPrice")),
    )


def execution(trade: Row) -> Execution:
    """Return a trade in our words; its id holds the symbol and the order, for numbers are the product's own."""
    price, quantity = amount(trade.get("price")), amount(trade.get("amount"))
    at = instant(trade.get("timestamp"))
    if price <= 0 or quantity <= 0 or at is None:
        raise Unreadable(f"a trade of {quantity} at {price} at {trade.get('timestamp')} cannot be")
    fee = _fee(trade)
    number = trade.get("id") or f"{trade.get('timestamp')}-{numbers.plain(price)}-{numbers.plain(quantity)}"
    return Execution(
        id=f"{trade.get('symbol')}:{trade.get('order')}:{number}",
        quantity=quantity,
        price=price,
        fee=amount(fee.get("cost") or "0"),
        fee_asset=str(fee.get("currency") or str(trade.get("symbol")).partition("/")[2]),
        at=at,
    )


def holdings(balance: Row) -> list[Holding]:
    """Return the amounts per currency that are not zero. Raises Unreadable."""
    free: Row = balance.get("free") or {}
    found = [
        Holding(asset=asset, quantity=amount(total), available=_maybe(free.get(asset)))
        for asset, total in (balance.get("total") or {}).items()
        if total is not None
    ]
    return [one for one in found if one.quantity or one.available]


def instant(milliseconds: object) -> datetime | None:
    """Return a time of ccxt as an instant, None for none."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if isinstance(milliseconds, int) else None


def amount(value: object) -> Decimal:
    """Return a number with the twelve decimals we store. Raises Unreadable."""
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or abs(found) >= numbers.LIMIT:
        raise Unreadable(f"{str(value)[:40]!r} is not an amount")
    return numbers.stored(found)


def _maybe(value: object) -> Decimal | None:
    """Return a positive number, None for none: exchanges say 0 where they mean that there is none."""
    found = None if value in (None, "") else amount(value)
    return found or None


def _exact(value: Decimal, shown: Callable[[float], str], what: str) -> float:
    """Return a number as ccxt takes it, certain that neither it nor the exchange's grid changes the value."""
    number = float(value)
    if Decimal(repr(number)) != value or Decimal(shown(number)) != value:
        raise Unreadable(f"the {what} {numbers.plain(value)} is not on the exchange's grid")
    return number


def _status(order: Row, filled: Decimal, quantity: Decimal | None) -> OrderStatus:
    status = order.get("status")
    if status == "closed":  # filled, or ended before it was
        return OrderStatus.FILLED if quantity is None or filled >= quantity else OrderStatus.CANCELLED
    if status in _ENDS:
        return _ENDS[str(status)]
    if status not in _WORKING:
        return OrderStatus.UNKNOWN
    return OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.ACCEPTED


def _kind(order: Row) -> OrderKind | None:
    told, stops = str(order.get("type") or ""), bool(_maybe(order.get("triggerPrice")))
    if "limit" in told:
        return OrderKind.STOP_LIMIT if stops else OrderKind.LIMIT
    return (OrderKind.STOP if stops else OrderKind.MARKET) if told else None


def _fee(trade: Row) -> Row:
    """Return the fee of a trade; of several the first that is one."""
    fees = [trade.get("fee") or {}, *(trade.get("fees") or ())]
    return next((fee for fee in fees if fee.get("cost") not in (None, "0", 0)), {})
