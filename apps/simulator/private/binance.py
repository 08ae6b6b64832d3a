"""The spot API in Binance's dialect: what it lists, its time, orders, trades and balances.

Reference: https://developers.binance.com/docs/binance-spot-api-docs/rest-api. Symbols are a product's two currencies
without the dash; order and trade numbers are whole numbers.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import wraps
from urllib.parse import parse_qsl

from apps.domain.orders import OrderKind, TimeInForce
from apps.simulator.httpwire import Request, Response
from apps.simulator.orders.accounts import Account
from apps.simulator.orders.book import LIVE, Order, Rejection, Wish
from apps.simulator.private import binance_shapes as shapes
from apps.simulator.private.door import CANCEL, PLACE, Handler, Route, at
from apps.simulator.venue import Venue

BASE = "/api/v3"
MAX_ROWS = 1000
_KINDS = {
    "MARKET": OrderKind.MARKET,
    "LIMIT": OrderKind.LIMIT,
    "STOP_LOSS": OrderKind.STOP,
    "STOP_LOSS_LIMIT": OrderKind.STOP_LIMIT,
}
_TIFS = {"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC, "FOK": TimeInForce.FOK}
_CLIENT_ID = re.compile(r"[\w.:/-]{1,36}", re.ASCII)
_AHEAD_MS = 1000
_WINDOW_MS = 5000

Params = dict[str, str]
Signed = Callable[[Venue, Account, Params], Response]


class _Bad(ValueError):
    """Something the exchange refuses with 400 and a number."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def _signed(handler: Signed) -> Handler:
    """Let a handler have the account that signed the request in time, and the parameters of query and body."""

    @wraps(handler)
    def checked(venue: Venue, request: Request, _: str) -> Response:
        account = venue.orders.account_of(request.headers.get("x-mbx-apikey", ""))
        if account is None:
            return shapes.problem(401, -2015, "Invalid API-key, IP, or permissions for action.")
        try:
            return handler(venue, account, _proved(venue, request, account))
        except _Bad as refused:
            return shapes.problem(400, refused.code, str(refused))
        except Rejection as rejection:
            return shapes.problem(400, *shapes.rejected(rejection))

    return checked


def _proved(venue: Venue, request: Request, account: Account) -> Params:
    """Return the parameters once signature and time are right."""
    sent = request.body.decode("latin-1") or request.target.partition("?")[2]
    content, _, signature = sent.rpartition("&signature=")
    wanted = hmac.new(account.secret.encode(), content.encode("latin-1"), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(signature.encode(), wanted.encode()):
        raise _Bad(-1022, "Signature for this request is not valid.")
    params = dict(parse_qsl(content))
    at_ms, now_ms = _whole(params, "timestamp") or 0, venue.now_us() // 1000
    if at_ms > now_ms + _AHEAD_MS:
        raise _Bad(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - at_ms > (_whole(params, "recvWindow") or _WINDOW_MS):
        raise _Bad(-1021, "Timestamp for this request is outside of the recvWindow.")
    return params


def listed(venue: Venue, request: Request, _: str) -> Response:
    return Response(
        body={
            "timezone": "UTC",
            "serverTime": venue.now_us() // 1000,
            "rateLimits": [],
            "exchangeFilters": [],
            "symbols": [shapes.listed(product) for product in venue.config.products],
        }
    )


def time(venue: Venue, request: Request, _: str) -> Response:
    return Response(body={"serverTime": venue.now_us() // 1000})


@_signed
def place(venue: Venue, account: Account, params: Params) -> Response:
    if not account.can_trade:
        return shapes.problem(401, -2015, "Invalid API-key, IP, or permissions for action.")
    client_id = params.get("newClientOrderId", "")
    if client_id and not _CLIENT_ID.fullmatch(client_id):
        raise _Bad(-1100, "Illegal characters found in parameter 'newClientOrderId'.")
    before = venue.orders.book.by_client(account.name, client_id)
    if before is not None and before.stage in LIVE:
        raise _Bad(-2010, "Duplicate order sent.")
    # A client id whose order has ended may be used again: this exchange then makes a second order of it.
    order = venue.orders.place(account, _wish(venue, params, "" if before else client_id), venue.true_us())
    order.client_id = client_id
    return Response(body=shapes.order(order, venue.switches.skew_us, whole=True))


def _wish(venue: Venue, params: Params, client_id: str) -> Wish:
    kind = _KINDS.get(params.get("type", ""))
    tif = _TIFS.get(params.get("timeInForce", "GTC"))
    if kind is None or tif is None:
        raise _Bad(-1116, "Invalid orderType.")
    if params.get("side") not in ("BUY", "SELL"):
        raise _Bad(-1117, "Invalid side.")
    return Wish(
        client_id=client_id,
        product_id=_product(venue, params),
        buy=params["side"] == "BUY",
        kind=kind,
        tif=tif,
        quantity=_decimal(params, "quantity"),
        funds=_decimal(params, "quoteOrderQty"),
        limit_price=_decimal(params, "price"),
        stop_price=_decimal(params, "stopPrice"),
    )


@_signed
def cancel(venue: Venue, account: Account, params: Params) -> Response:
    order = _named(venue, account, params)
    if order is None or order.stage not in LIVE:
        raise _Bad(-2011, "Unknown order sent.")
    venue.orders.cancel(order, venue.true_us())
    return Response(body=shapes.order(order, venue.switches.skew_us))


@_signed
def one(venue: Venue, account: Account, params: Params) -> Response:
    order = _named(venue, account, params)
    if order is None:
        raise _Bad(-2013, "Order does not exist.")
    return Response(body=shapes.order(order, venue.switches.skew_us))


def _named(venue: Venue, account: Account, params: Params) -> Order | None:
    """Return the order that a request names by its number or its client id; the newest of several."""
    product_id, number, client_id = _product(venue, params), _whole(params, "orderId"), params.get("origClientOrderId")
    if number is None and not client_id:
        raise _Bad(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
    for order in venue.orders.orders(account, venue.true_us()):
        if order.product_id == product_id and (order.serial == number or order.client_id == client_id):
            return order
    return None


@_signed
def working(venue: Venue, account: Account, params: Params) -> Response:
    wanted = _product(venue, params) if "symbol" in params else None
    found = [
        order
        for order in venue.orders.orders(account, venue.true_us())
        if order.stage in LIVE and wanted in (None, order.product_id)
    ]
    return Response(body=[shapes.order(order, venue.switches.skew_us) for order in found])


@_signed
def orders(venue: Venue, account: Account, params: Params) -> Response:
    """Oldest first."""
    product_id, since = _product(venue, params), _whole(params, "startTime") or 0
    rows = [
        shapes.order(order, venue.switches.skew_us)
        for order in reversed(venue.orders.orders(account, venue.true_us()))
        if order.product_id == product_id
    ]
    return Response(body=[row for row in rows if row["time"] >= since][: _limit(params)])


@_signed
def trades(venue: Venue, account: Account, params: Params) -> Response:
    """Oldest first."""
    product_id, number = _product(venue, params), _whole(params, "orderId")
    since = _whole(params, "startTime") or 0
    rows = [
        shapes.trade(fill, venue.orders.book.by_id(fill.order_id), venue.switches.skew_us)
        for fill in reversed(venue.orders.fills(account, venue.true_us()))
        if fill.product_id == product_id
    ]
    found = [row for row in rows if row["time"] >= since and number in (None, row["orderId"])]
    return Response(body=found[: _limit(params)])


@_signed
def balances(venue: Venue, account: Account, params: Params) -> Response:
    held = venue.orders.holds(account)
    return Response(body=shapes.account(account, held))


def _product(venue: Venue, params: Params) -> str:
    for product in venue.config.products:
        if shapes.symbol(product.id) == params.get("symbol"):
            return product.id
    raise _Bad(-1121, "Invalid symbol.")


def _decimal(params: Params, name: str) -> Decimal | None:
    text = params.get(name)
    try:
        return None if text is None else Decimal(text)
    except InvalidOperation:
        raise _Bad(-1100, f"Illegal characters found in parameter '{name}'.") from None


def _whole(params: Params, name: str) -> int | None:
    text = params.get(name)
    if text is not None and not (text.isascii() and text.isdigit()):
        raise _Bad(-1100, f"Illegal characters found in parameter '{name}'.")
    return None if text is None else int(text)


def _limit(params: Params) -> int:
    return min(_whole(params, "limit") or 500, MAX_ROWS)


ROUTES = (
    Route("GET", at(f"{BASE}/exchangeInfo"), listed),
    Route("GET", at(f"{BASE}/time"), time),
    Route("POST", at(f"{BASE}/order"), place, PLACE),
    Route("DELETE", at(f"{BASE}/order"), cancel, CANCEL),
    Route("GET", at(f"{BASE}/order"), one),
    Route("GET", at(f"{BASE}/openOrders"), working),
    Route("GET", at(f"{BASE}/allOrders"), orders),
    Route("GET", at(f"{BASE}/myTrades"), trades),
    Route("GET", at(f"{BASE}/account"), balances),
)
