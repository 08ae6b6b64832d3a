"""The private API in Coinbase Advanced Trade's dialect: orders, fills, accounts, key permissions, and its clock.

Reference: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/rest-api. A refused order is answered with 200
and `success: false`.
"""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import wraps
from typing import Any

import msgspec

from apps.simulator import protocol
from apps.simulator.httpwire import Request, Response
from apps.simulator.orders.accounts import Account
from apps.simulator.orders.book import Fill, Order, Rejection
from apps.simulator.private import coinbase_shapes as shapes
from apps.simulator.private import tokens
from apps.simulator.private.door import AMEND, CANCEL, PLACE, Handler, Route, at
from apps.simulator.venue import Venue

BASE = "/api/v3/brokerage"
MAX_PAGE = 1000
FINAL_FIRST = {"FILLED": "ORDER_IS_FULLY_FILLED"}
_NOT_FOUND = Response(status=404, body=shapes.problem("NOT_FOUND", "order not found"))

Signed = Callable[[Venue, Request, Account, str], Response]


class _Bad(ValueError):
    """A parameter the exchange refuses with 400."""


def _signed(handler: Signed) -> Handler:
    """Let a handler have the account that signed the request, or answer 401."""

    @wraps(handler)
    def checked(venue: Venue, request: Request, found: str) -> Response:
        authorization = request.headers.get("authorization", "")
        host = request.headers.get("host", "")
        try:
            account = tokens.caller(
                venue.orders, authorization, request.method, host, request.path, venue.now_us() // 1_000_000
            )
        except tokens.Unauthorized as refused:
            return Response(status=401, body=f"Unauthorized: {refused}\n".encode())
        try:
            return handler(venue, request, account, found)
        except _Bad as refused:
            return Response(status=400, body=shapes.problem("INVALID_ARGUMENT", str(refused)))

    return checked


def time(venue: Venue, request: Request, _: str) -> Response:
    now_us = venue.now_us()
    return Response(
        body={
            "iso": protocol.iso(now_us),
            "epochSeconds": str(now_us // 1_000_000),
            "epochMillis": str(now_us // 1000),
        }
    )


def _may_trade(account: Account) -> Response | None:
    if account.can_trade:
        return None
    return Response(status=403, body=shapes.problem("PERMISSION_DENIED", "Missing required scopes"))


@_signed
def place(venue: Venue, request: Request, account: Account, _: str) -> Response:
    body = _object(request)
    if (refused := _may_trade(account)) is not None:
        return refused
    try:
        order = venue.orders.place(account, shapes.wish(body), venue.true_us())
    except Rejection as rejection:
        return Response(body=shapes.rejected(rejection, body))
    return Response(body=shapes.placed(order, body))


@_signed
def cancel(venue: Venue, request: Request, account: Account, _: str) -> Response:
    ids = _object(request).get("order_ids")
    if not isinstance(ids, list) or not ids or not all(isinstance(each, str) for each in ids):
        raise _Bad("order_ids must be a list of order ids")
    return _may_trade(account) or Response(body={"results": [_cancelled(venue, account, each) for each in ids]})


def _cancelled(venue: Venue, account: Account, order_id: str) -> dict[str, Any]:
    now_us = venue.true_us()
    order = venue.orders.find(account, order_id, now_us)
    why = "UNKNOWN_CANCEL_FAILURE_REASON"
    success = False
    if order is None:
        why = "UNKNOWN_CANCEL_ORDER"
    else:
        try:
            venue.orders.cancel(order, now_us)
            success = True
        except Rejection as rejection:
            twice = rejection.code == "cancel_twice"
            ended = FINAL_FIRST.get(shapes.status(order), "INVALID_CANCEL_REQUEST")
            why = "DUPLICATE_CANCEL_REQUEST" if twice else ended
    return {"success": success, "failure_reason": why, "order_id": order_id}


@_signed
def amend(venue: Venue, request: Request, account: Account, _: str) -> Response:
    body = _object(request)
    if (refused := _may_trade(account)) is not None:
        return refused
    now_us = venue.true_us()
    order = venue.orders.find(account, str(body.get("order_id")), now_us)
    try:
        venue.orders.amend(
            _editable(order),
            now_us,
            quantity=_decimal(body, "size"),
            limit_price=_decimal(body, "price"),
            stop_price=_decimal(body, "stop_price"),
        )
    except Rejection as rejection:
        return Response(body={"success": False, "errors": [{"edit_failure_reason": shapes.edit_failure(rejection)}]})
    return Response(body={"success": True, "errors": []})


def _editable(order: Order | None) -> Order:
    if order is None:
        raise Rejection("not_found", "order not found")
    if not shapes.is_editable(order):
        raise Rejection("not_editable", "only limit orders good till cancelled can be edited")
    return order


@_signed
def order(venue: Venue, request: Request, account: Account, order_id: str) -> Response:
    found = venue.orders.find(account, order_id, venue.true_us())
    if found is None:
        return _NOT_FOUND
    return Response(body={"order": shapes.order(found, venue.switches.skew_us)})


@_signed
def orders(venue: Venue, request: Request, account: Account, _: str) -> Response:
    """Newest first; filters `order_status`, `product_ids`, `order_ids`, `start_date`, and pages by `cursor`."""
    statuses = set(request.every("order_status"))
    if "OPEN" in statuses and len(statuses) > 1:
        raise _Bad("OPEN orders cannot be asked for together with other statuses")
    found = venue.orders.orders(account, venue.true_us())
    found = [each for each in found if not statuses or shapes.status(each) in statuses]
    found = _narrowed(found, request)
    since = request.query.get("start_date")
    skew_us = venue.switches.skew_us
    if since:
        found = [each for each in found if protocol.iso(each.created_us + skew_us) >= since]
    page, cursor = _page(found, request, lambda each: str(each.serial))
    rows = [shapes.order(each, skew_us) for each in page]
    return Response(body={"orders": rows, "sequence": "0", "has_next": bool(cursor), "cursor": cursor})


def _narrowed(found: list[Order], request: Request) -> list[Order]:
    for name, of in (("product_ids", "product_id"), ("order_ids", "id")):
        wanted = set(request.every(name))
        found = [each for each in found if not wanted or getattr(each, of) in wanted]
    return found


@_signed
def fills(venue: Venue, request: Request, account: Account, _: str) -> Response:
    """Newest first; filters `order_ids`, `product_ids`, `start_sequence_timestamp`, and pages by `cursor`."""
    found = venue.orders.fills(account, venue.true_us())
    for name, of in (("product_ids", "product_id"), ("order_ids", "order_id")):
        wanted = set(request.every(name))
        found = [each for each in found if not wanted or getattr(each, of) in wanted]
    since = request.query.get("start_sequence_timestamp")
    skew_us = venue.switches.skew_us
    if since:
        found = [each for each in found if protocol.iso(each.at_us + skew_us) >= since]
    page, cursor = _page(found, request, _fill_cursor)
    return Response(body={"fills": [shapes.fill(each, account.name, skew_us) for each in page], "cursor": cursor})


def _fill_cursor(fill: Fill) -> str:
    return fill.id


def _page(found: list[Any], request: Request, name: Callable[[Any], str]) -> tuple[list[Any], str]:
    """One page after the cursor, and the cursor of the next one, "" at the end."""
    text = request.query.get("limit", "100")
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        raise _Bad("limit must be a whole number above 0")
    limit, cursor = min(int(text), MAX_PAGE), request.query.get("cursor")
    if cursor:
        places = [place for place, each in enumerate(found) if name(each) == cursor]
        found = found[places[-1] + 1 :] if places else []
    page = found[:limit]
    while page and len(page) < len(found) and name(found[len(page)]) == name(page[-1]):
        page = found[: len(page) + 1]  # a duplicated fill stays on the page of its twin
    return page, name(page[-1]) if len(page) < len(found) else ""


@_signed
def accounts(venue: Venue, request: Request, account: Account, _: str) -> Response:
    held = venue.orders.holds(account)
    rows = [shapes.balance(account, asset, held.get(asset, Decimal(0))) for asset in sorted(account.balances)]
    page, cursor = _page(rows, request, lambda row: str(row["uuid"]))
    return Response(body={"accounts": page, "has_next": bool(cursor), "cursor": cursor, "size": len(page)})


@_signed
def permissions(venue: Venue, request: Request, account: Account, _: str) -> Response:
    return Response(
        body={
            "can_view": True,
            "can_trade": account.can_trade,
            "can_transfer": account.can_transfer,
            "portfolio_uuid": shapes.uuid_of(f"portfolio {account.name}"),
            "portfolio_type": "DEFAULT",
        }
    )


def _object(request: Request) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _Bad("the body must be JSON") from None
    if not isinstance(body, dict):
        raise _Bad("the body must be an object")
    return body


def _decimal(body: dict[str, Any], name: str) -> Decimal | None:
    text = body.get(name)
    try:
        return Decimal(text) if isinstance(text, str) and text else None
    except InvalidOperation:
        raise Rejection("invalid_size", f"{name} is not a number") from None


ROUTES = (
    Route("GET", at(f"{BASE}/time"), time),
    Route("POST", at(f"{BASE}/orders"), place, PLACE),
    Route("POST", at(f"{BASE}/orders/batch_cancel"), cancel, CANCEL),
    Route("POST", at(f"{BASE}/orders/edit"), amend, AMEND),
    Route("GET", at(f"{BASE}/orders/historical/batch"), orders),
    Route("GET", at(f"{BASE}/orders/historical/fills"), fills),
    Route("GET", at(f"{BASE}/orders/historical/{{id}}"), order),
    Route("GET", at(f"{BASE}/accounts"), accounts),
    Route("GET", at(f"{BASE}/key_permissions"), permissions),
)
