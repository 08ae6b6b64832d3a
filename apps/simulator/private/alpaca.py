"""The private API in Alpaca's dialect: orders, fills, positions, the account, and its clock.

Reference: https://docs.alpaca.markets/reference. Products keep their names, fills tell no fee. A replaced
order keeps its whole quantity, whatever was filled before (alpacahq/Alpaca-API #165).
"""

import hmac
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import wraps
from typing import Any

import msgspec

from apps.domain.orders import OrderKind, TimeInForce
from apps.simulator import protocol
from apps.simulator.httpwire import Request, Response
from apps.simulator.orders.accounts import Account
from apps.simulator.orders.book import Order, Rejection, Stage, Wish
from apps.simulator.private import alpaca_shapes as shapes
from apps.simulator.private.door import AMEND, CANCEL, PLACE, Handler, Route, at
from apps.simulator.venue import Venue

MAX_ORDERS = 500
MAX_FILLS = 100
_TIFS = {tif.value: tif for tif in TimeInForce if tif is not TimeInForce.GTD}
_KINDS = {kind.value: kind for kind in OrderKind}
_FORBIDDEN = frozenset({"insufficient_funds"})

Signed = Callable[[Venue, Request, Account, str], Response]


class _Bad(ValueError):
    """Something the exchange refuses with 422."""


def _signed(handler: Signed) -> Handler:
    """Let a handler have the account whose key and secret came with the request, or answer 401."""

    @wraps(handler)
    def checked(venue: Venue, request: Request, found: str) -> Response:
        account = venue.orders.account_of(request.headers.get("apca-api-key-id", ""))
        secret = request.headers.get("apca-api-secret-key", "")
        if account is None or not hmac.compare_digest(secret.encode(), account.secret.encode()):
            return shapes.problem(401, 40110000, "request is not authorized")
        try:
            return handler(venue, request, account, found)
        except _Bad as refused:
            return shapes.problem(422, 42210000, str(refused))
        except Rejection as rejection:
            if rejection.code in _FORBIDDEN:
                return shapes.problem(403, 40310000, f"insufficient buying power: {rejection.text}")
            return shapes.problem(422, 42210000, rejection.text)

    return checked


@_signed
def place(venue: Venue, request: Request, account: Account, _: str) -> Response:
    body = _object(request)
    if not account.can_trade:
        return shapes.problem(403, 40310000, "account is not authorized to trade")
    client_id = str(body.get("client_order_id", "")) or shapes.uuid_of(f"{account.name} {venue.true_us()}")
    if venue.orders.book.by_client(account.name, client_id) is not None:
        return shapes.problem(422, 40010001, "client_order_id must be unique")
    order = venue.orders.place(account, _wish(body, client_id), venue.true_us())
    return Response(body=shapes.order(order, venue.switches.skew_us))


def _wish(body: dict[str, Any], client_id: str) -> Wish:
    if body.get("order_class", "") not in ("", "simple"):
        raise _Bad("only simple orders are supported")
    if body.get("side") not in ("buy", "sell"):
        raise _Bad("side is required")
    kind, tif = _KINDS.get(str(body.get("type"))), _TIFS.get(str(body.get("time_in_force")))
    if kind is None or tif is None:
        raise _Bad("invalid order type or time in force")
    return Wish(
        client_id=client_id,
        product_id=str(body.get("symbol", "")),
        buy=body["side"] == "buy",
        kind=kind,
        tif=tif,
        quantity=_decimal(body, "qty"),
        funds=_decimal(body, "notional"),
        limit_price=_decimal(body, "limit_price"),
        stop_price=_decimal(body, "stop_price"),
    )


@_signed
def cancel(venue: Venue, request: Request, account: Account, order_id: str) -> Response:
    order = venue.orders.find(account, order_id, venue.true_us())
    if order is None:
        return _missing(order_id)
    venue.orders.cancel(order, venue.true_us())
    return Response(status=204, body=b"")


@_signed
def replace(venue: Venue, request: Request, account: Account, order_id: str) -> Response:
    body, now_us = _object(request), venue.true_us()
    order = venue.orders.find(account, order_id, now_us)
    if order is None:
        return _missing(order_id)
    if order.stage is not Stage.OPEN:
        raise _Bad(f"cannot replace order in {shapes.status(order)} status")
    quantity = _decimal(body, "qty") or order.quantity
    if quantity <= order.filled:
        raise _Bad("qty must be > filled_qty")
    client_id = str(body.get("client_order_id", "")) or shapes.uuid_of(f"replaces {order.id}")
    wish = Wish(
        client_id=client_id,
        product_id=order.product_id,
        buy=order.buy,
        kind=order.kind,
        tif=order.tif,
        quantity=quantity,
        limit_price=_decimal(body, "limit_price") or order.limit_price,
        stop_price=_decimal(body, "stop_price") or order.stop_price,
        tags={"replaces": order.id},
    )
    venue.orders.cancel(order, now_us)
    new = venue.orders.place(account, wish, now_us)
    order.tags["replaced_by"] = new.id
    return Response(body=shapes.order(new, venue.switches.skew_us))


@_signed
def one(venue: Venue, request: Request, account: Account, order_id: str) -> Response:
    return _shown(venue, venue.orders.find(account, order_id, venue.true_us()), order_id)


@_signed
def by_client_id(venue: Venue, request: Request, account: Account, _: str) -> Response:
    client_id = request.query.get("client_order_id", "")
    return _shown(venue, venue.orders.find_by_client(account, client_id, venue.true_us()), client_id)


def _shown(venue: Venue, order: Order | None, name: str) -> Response:
    return _missing(name) if order is None else Response(body=shapes.order(order, venue.switches.skew_us))


def _missing(name: str) -> Response:
    return shapes.problem(404, 40410000, f"order not found for {name}")


@_signed
def orders(venue: Venue, request: Request, account: Account, _: str) -> Response:
    """By the time they were sent, newest first unless `direction=asc`; `status` open, closed or all."""
    skew_us = venue.switches.skew_us
    wanted = request.query.get("status", "open")
    found = [
        each
        for each in venue.orders.orders(account, venue.true_us())
        if wanted == "all" or shapes.is_open(each) == (wanted == "open")
    ]
    since, until = request.query.get("after"), request.query.get("until")
    if since:
        found = [each for each in found if protocol.iso(each.created_us + skew_us) > since]
    if until:
        found = [each for each in found if protocol.iso(each.created_us + skew_us) < until]
    if request.query.get("direction") == "asc":
        found.reverse()
    return Response(body=[shapes.order(each, skew_us) for each in found[: _limit(request, "limit", 50, MAX_ORDERS)]])


@_signed
def fills(venue: Venue, request: Request, account: Account, _: str) -> Response:
    """Newest first unless `direction=asc`; `after` and `until` exclusive, pages by `page_token`, the last id before."""
    skew_us = venue.switches.skew_us
    rows = [shapes.fill(each, venue.orders.book.by_id(each.order_id), skew_us) for each in _all(venue, account)]
    since, until = request.query.get("after"), request.query.get("until")
    if since:
        rows = [row for row in rows if row["transaction_time"] > since]
    if until:
        rows = [row for row in rows if row["transaction_time"] < until]
    if request.query.get("direction") == "asc":
        rows.reverse()
    token = request.query.get("page_token")
    if token:
        places = [place for place, row in enumerate(rows) if row["id"] == token]
        rows = rows[places[-1] + 1 :] if places else []
    return Response(body=rows[: _limit(request, "page_size", MAX_FILLS, MAX_FILLS)])


def _all(venue: Venue, account: Account) -> list[Any]:
    return list(venue.orders.fills(account, venue.true_us()))


@_signed
def positions(venue: Venue, request: Request, account: Account, _: str) -> Response:
    held = venue.orders.holds(account)
    return Response(
        body=[
            shapes.position(listed.id, account.balances[listed.base], held.get(listed.base, Decimal(0)))
            for listed in venue.config.products
            if account.balances.get(listed.base)
        ]
    )


@_signed
def told(venue: Venue, request: Request, account: Account, _: str) -> Response:
    return Response(body=shapes.account(account))


@_signed
def clock(venue: Venue, request: Request, account: Account, _: str) -> Response:
    now = protocol.iso(venue.now_us())
    return Response(body={"timestamp": now, "is_open": True, "next_open": now, "next_close": now})


def _object(request: Request) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _Bad("request body format is invalid") from None
    if not isinstance(body, dict):
        raise _Bad("request body format is invalid")
    return body


def _decimal(body: dict[str, Any], name: str) -> Decimal | None:
    value = body.get(name)
    if value is None:
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise _Bad(f"{name} is not a number") from None


def _limit(request: Request, name: str, usual: int, most: int) -> int:
    text = request.query.get(name, str(usual))
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= most):
        raise _Bad(f"{name} must be a whole number from 1 to {most}")
    return int(text)


ROUTES = (
    Route("POST", at("/v2/orders"), place, PLACE),
    Route("GET", at("/v2/orders"), orders),
    Route("GET", at("/v2/orders:by_client_order_id"), by_client_id),
    Route("GET", at("/v2/orders/{id}"), one),
    Route("DELETE", at("/v2/orders/{id}"), cancel, CANCEL),
    Route("PATCH", at("/v2/orders/{id}"), replace, AMEND),
    Route("GET", at("/v2/account/activities/FILL"), fills),
    Route("GET", at("/v2/positions"), positions),
    Route("GET", at("/v2/account"), told),
    Route("GET", at("/v2/clock"), clock),
)
