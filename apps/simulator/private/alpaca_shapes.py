"""Orders, fills, positions and accounts as Alpaca writes them."""

import hashlib
from decimal import Decimal
from typing import Any

from apps.domain.orders import OrderKind
from apps.simulator import protocol
from apps.simulator.httpwire import Response
from apps.simulator.orders.accounts import Account
from apps.simulator.orders.book import LIVE, Fill, Order, Stage

_STATUSES = {
    Stage.PENDING: "pending_new",
    Stage.CANCEL_QUEUED: "pending_cancel",
    Stage.FILLED: "filled",
    Stage.CANCELLED: "canceled",
    Stage.EXPIRED: "expired",
}


def order(each: Order, skew_us: int) -> dict[str, Any]:
    """One order."""
    created, changed = protocol.iso(each.created_us + skew_us), protocol.iso(each.changed_us + skew_us)
    state = status(each)
    return {
        "id": each.id,
        "client_order_id": each.client_id,
        "created_at": created,
        "updated_at": changed,
        "submitted_at": created,
        "filled_at": protocol.iso(each.fills[-1].at_us + skew_us) if state == "filled" else None,
        "expired_at": changed if state == "expired" else None,
        "canceled_at": changed if state == "canceled" else None,
        "failed_at": None,
        "replaced_at": changed if state == "replaced" else None,
        "replaced_by": each.tags.get("replaced_by"),
        "replaces": each.tags.get("replaces"),
        "asset_id": uuid_of(f"asset {each.product_id}"),
        "symbol": each.product_id,
        "asset_class": "crypto",
        "notional": None if each.funds is None else f"{each.funds:f}",
        "qty": f"{each.quantity:f}",
        "filled_qty": f"{each.filled:f}",
        "filled_avg_price": f"{each.average:f}" if each.filled else None,
        "order_class": "",
        "order_type": each.kind.value,
        "type": each.kind.value,
        "side": side(each.buy),
        "time_in_force": each.tif.value,
        "limit_price": None if each.limit_price is None else f"{each.limit_price:f}",
        "stop_price": None if each.stop_price is None else f"{each.stop_price:f}",
        "status": state,
        "extended_hours": False,
        "legs": None,
        "trail_percent": None,
        "trail_price": None,
        "hwm": None,
    }


def status(each: Order) -> str:
    """The status as this dialect calls it."""
    if "replaced_by" in each.tags:
        return "replaced"
    if each.stage is Stage.OPEN:
        waits = each.kind in (OrderKind.STOP, OrderKind.STOP_LIMIT) and not each.triggered
        return "partially_filled" if each.filled else ("held" if waits else "new")
    return _STATUSES[each.stage]


def is_open(each: Order) -> bool:
    """Whether it counts as an open order."""
    return each.stage in LIVE


def fill(each: Fill, of: Order | None, skew_us: int) -> dict[str, Any]:
    """One fill as an account activity."""
    at = protocol.iso(each.at_us + skew_us)
    digits = "".join(letter for letter in at if letter.isdigit())[:17]
    return {
        "id": f"{digits}::{each.id}",
        "activity_type": "FILL",
        "transaction_time": at,
        "type": "fill" if of is not None and of.stage is Stage.FILLED else "partial_fill",
        "price": f"{each.price:f}",
        "qty": f"{each.quantity:f}",
        "side": side(each.buy),
        "symbol": each.product_id,
        "leaves_qty": "0" if of is None else f"{of.rest:f}",
        "order_id": each.order_id,
        "cum_qty": f"{each.quantity:f}" if of is None else f"{of.filled:f}",
        "order_status": "filled" if of is None else status(of),
    }


def position(product_id: str, quantity: Decimal, held: Decimal) -> dict[str, Any]:
    """What is held of one product."""
    return {
        "asset_id": uuid_of(f"asset {product_id}"),
        "symbol": product_id,
        "exchange": "CRYPTO",
        "asset_class": "crypto",
        "qty": f"{quantity:f}",
        "qty_available": f"{quantity - held:f}",
        "side": "short" if quantity < 0 else "long",
    }


def account(each: Account) -> dict[str, Any]:
    """The account."""
    cash = each.balances.get("USD", Decimal(0))
    return {
        "id": uuid_of(f"account {each.name}"),
        "account_number": "simulated",
        "status": "ACTIVE",
        "currency": "USD",
        "cash": f"{cash:f}",
        "buying_power": f"{cash:f}",
        "trading_blocked": not each.can_trade,
        "transfers_blocked": False,
        "account_blocked": False,
        "trade_suspended_by_user": False,
        "shorting_enabled": each.shorts,
    }


def problem(status: int, code: int, text: str) -> Response:
    """An error."""
    return Response(status=status, body={"code": code, "message": text})


def side(buy: bool) -> str:
    """The side of an order or fill."""
    return "buy" if buy else "sell"


def uuid_of(text: str) -> str:
    """An id in the form this exchange uses, the same in every run."""
    digits = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
