"""Orders, fills and balances as Coinbase Advanced Trade writes them, and its orders as the engine wants them."""

import hashlib
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from apps.domain.orders import OrderKind, TimeInForce
from apps.simulator import protocol
from apps.simulator.orders.accounts import Account
from apps.simulator.orders.book import Fill, Order, Rejection, Stage, Wish

CONFIGURATIONS = {
    "market_market_ioc": (OrderKind.MARKET, TimeInForce.IOC),
    "market_market_fok": (OrderKind.MARKET, TimeInForce.FOK),
    "sor_limit_ioc": (OrderKind.LIMIT, TimeInForce.IOC),
    "limit_limit_gtc": (OrderKind.LIMIT, TimeInForce.GTC),
    "limit_limit_gtd": (OrderKind.LIMIT, TimeInForce.GTD),
    "limit_limit_fok": (OrderKind.LIMIT, TimeInForce.FOK),
    "stop_limit_stop_limit_gtc": (OrderKind.STOP_LIMIT, TimeInForce.GTC),
    "stop_limit_stop_limit_gtd": (OrderKind.STOP_LIMIT, TimeInForce.GTD),
}
_NAMES = {pair: name for name, pair in CONFIGURATIONS.items()}
REASONS = {
    "insufficient_funds": "INSUFFICIENT_FUND",
    "invalid_size": "INVALID_REQUEST",
    "invalid_size_precision": "INVALID_SIZE_PRECISION",
    "invalid_price": "INVALID_LIMIT_PRICE",
    "invalid_price_precision": "INVALID_PRICE_PRECISION",
    "invalid_product": "INVALID_PRODUCT_ID",
    "invalid_expiry": "INVALID_REQUEST",
    "post_only": "INVALID_LIMIT_PRICE_POST_ONLY",
    "stop_above_last": "PREVIEW_STOP_PRICE_ABOVE_LAST_TRADE_PRICE",
    "stop_below_last": "PREVIEW_STOP_PRICE_BELOW_LAST_TRADE_PRICE",
    "unsupported": "UNSUPPORTED_ORDER_CONFIGURATION",
}
PREVIEWS = {"INSUFFICIENT_FUND": "PREVIEW_INSUFFICIENT_FUND"}
EDIT_REASONS = {
    "not_found": "ORDER_NOT_FOUND",
    "ended": "ONLY_OPEN_ORDERS_CAN_BE_EDITED",
    "not_editable": "ORDER_TYPE_NOT_SUPPORTED",
    "invalid_size": "CANNOT_EDIT_TO_BELOW_FILLED_SIZE",
}
TYPES = {
    OrderKind.MARKET: "MARKET",
    OrderKind.LIMIT: "LIMIT",
    OrderKind.STOP: "STOP",
    OrderKind.STOP_LIMIT: "STOP_LIMIT",
}
TIMES = {
    TimeInForce.GTC: "GOOD_UNTIL_CANCELLED",
    TimeInForce.GTD: "GOOD_UNTIL_DATE_TIME",
    TimeInForce.DAY: "GOOD_UNTIL_DATE_TIME",
    TimeInForce.IOC: "IMMEDIATE_OR_CANCEL",
    TimeInForce.FOK: "FILL_OR_KILL",
}


def wish(body: dict[str, Any]) -> Wish:
    """Read the body of a create-order request. Raises Rejection."""
    name, terms = _configuration(body)
    kind, tif = CONFIGURATIONS[name]
    direction = terms.get("stop_direction")
    if body.get("side") not in ("BUY", "SELL"):
        raise Rejection("forced", "INVALID_SIDE")
    return Wish(
        client_id=str(body.get("client_order_id", "")),
        product_id=str(body.get("product_id", "")),
        buy=body["side"] == "BUY",
        kind=kind,
        tif=tif,
        quantity=_number(terms, "base_size"),
        funds=_number(terms, "quote_size"),
        limit_price=_number(terms, "limit_price"),
        stop_price=_number(terms, "stop_price"),
        stop_up=None if direction is None else direction == "STOP_DIRECTION_STOP_UP",
        expires_us=_instant(terms.get("end_time")),
        post_only=terms.get("post_only") is True,
        tags={"configuration": name},
    )


def _configuration(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    given = body.get("order_configuration")
    if not isinstance(given, dict) or len(given) != 1:
        raise Rejection("unsupported", "exactly one order configuration is needed")
    name, terms = next(iter(given.items()))
    if name not in CONFIGURATIONS or not isinstance(terms, dict):
        raise Rejection("unsupported", f"{name} is not supported")
    return name, terms


def _number(terms: dict[str, Any], name: str) -> Decimal | None:
    text = terms.get(name)
    if text is None:
        return None
    try:
        return Decimal(text if isinstance(text, str) else "not a text")
    except InvalidOperation:
        raise Rejection("invalid_size", f"{name} must be a decimal in a string") from None


def _instant(text: object) -> int | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        raise Rejection("invalid_expiry", "end_time is not an instant") from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def status(order: Order) -> str:
    """The status as this dialect calls it; a partly filled order is OPEN."""
    return order.stage.value.upper()


def is_editable(order: Order) -> bool:
    """Whether this exchange changes such an order in place."""
    return order.kind in (OrderKind.LIMIT, OrderKind.STOP_LIMIT) and order.tif is TimeInForce.GTC


def placed(order: Order, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to an order that was taken."""
    told = {
        "order_id": order.id,
        "product_id": order.product_id,
        "side": _side(order.buy),
        "client_order_id": order.client_id,
    }
    return {"success": True, "success_response": told, "order_configuration": body.get("order_configuration")}


def rejected(rejection: Rejection, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to an order that was refused."""
    reason = REASONS.get(rejection.code, rejection.text)
    only_previewed = reason.startswith("PREVIEW_")
    told = "UNKNOWN_FAILURE_REASON" if only_previewed else reason
    error = {
        "error": told,
        "message": rejection.text,
        "error_details": "",
        "preview_failure_reason": reason if only_previewed else PREVIEWS.get(reason, "UNKNOWN_PREVIEW_FAILURE_REASON"),
        "new_order_failure_reason": told,
    }
    return {"success": False, "error_response": error, "order_configuration": body.get("order_configuration")}


def edit_failure(rejection: Rejection) -> str:
    """Why an order was not changed, in this dialect's words."""
    return EDIT_REASONS.get(rejection.code, "INVALID_EDITED_PRICE")


def order(each: Order, skew_us: int) -> dict[str, Any]:
    """One order as the historical resources show it."""
    done = each.filled / each.quantity * 100
    return {
        "order_id": each.id,
        "product_id": each.product_id,
        "user_id": uuid_of(f"user {each.account}"),
        "order_configuration": {_NAMES.get((each.kind, each.tif), "limit_limit_gtc"): _terms(each)},
        "side": _side(each.buy),
        "client_order_id": each.client_id,
        "status": status(each),
        "time_in_force": TIMES[each.tif],
        "created_time": protocol.iso(each.created_us + skew_us),
        "completion_percentage": f"{done:.2f}",
        "filled_size": f"{each.filled:f}",
        "average_filled_price": f"{each.average:f}",
        "fee": "",
        "number_of_fills": str(len(each.fills)),
        "filled_value": f"{each.value:f}",
        "pending_cancel": each.stage is Stage.CANCEL_QUEUED,
        "size_in_quote": False,
        "total_fees": f"{each.fees:f}",
        "trigger_status": _trigger(each),
        "order_type": TYPES[each.kind],
        "reject_reason": "REJECT_REASON_UNSPECIFIED",
        "settled": not each.is_live,
        "product_type": "SPOT",
        "cancel_message": each.why,
        "last_fill_time": protocol.iso(each.fills[-1].at_us + skew_us) if each.fills else None,
    }


def _terms(each: Order) -> dict[str, Any]:
    terms: dict[str, Any] = {"base_size": f"{each.quantity:f}"}
    if each.limit_price is not None:
        terms["limit_price"] = f"{each.limit_price:f}"
    if each.stop_price is not None:
        terms["stop_price"] = f"{each.stop_price:f}"
        terms["stop_direction"] = "STOP_DIRECTION_STOP_UP" if each.stop_up else "STOP_DIRECTION_STOP_DOWN"
    if each.expires_us is not None:
        terms["end_time"] = protocol.iso(each.expires_us)
    return terms


def _trigger(each: Order) -> str:
    if each.stop_price is None:
        return "INVALID_ORDER_TYPE"
    return "STOP_TRIGGERED" if each.triggered else "STOP_PENDING"


def _side(buy: bool) -> str:
    return "BUY" if buy else "SELL"


def fill(each: Fill, account: str, skew_us: int) -> dict[str, Any]:
    """One fill as the historical resource shows it; the commission is in quote units."""
    return {
        "entry_id": each.id,
        "trade_id": each.id,
        "order_id": each.order_id,
        "trade_time": protocol.iso(each.at_us + skew_us),
        "trade_type": "FILL",
        "price": f"{each.price:f}",
        "size": f"{each.quantity:f}",
        "commission": f"{each.fee:f}",
        "product_id": each.product_id,
        "sequence_timestamp": protocol.iso(each.at_us + skew_us),
        "liquidity_indicator": "MAKER" if each.maker else "TAKER",
        "size_in_quote": False,
        "user_id": uuid_of(f"user {account}"),
        "side": _side(each.buy),
    }


def balance(account: Account, asset: str, held: Decimal) -> dict[str, Any]:
    """One currency of an account: what is free, and what orders keep."""
    free = account.balances[asset] - held
    return {
        "uuid": uuid_of(f"{account.name} {asset}"),
        "name": f"{asset} Wallet",
        "currency": asset,
        "available_balance": {"value": f"{free:f}", "currency": asset},
        "default": True,
        "active": True,
        "type": "ACCOUNT_TYPE_CRYPTO",
        "ready": True,
        "hold": {"value": f"{held:f}", "currency": asset},
    }


def problem(error: str, text: str) -> dict[str, Any]:
    """An error with a status of its own."""
    return {"error": error, "code": 0, "message": text, "error_details": text, "details": []}


def uuid_of(text: str) -> str:
    """An id in the form this exchange uses, the same in every run."""
    digits = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
