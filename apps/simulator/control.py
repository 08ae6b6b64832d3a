"""The control side under /_sim: order faults, make trades at exact prices, read the truth."""

import re
from typing import Any

import msgspec

from apps.simulator import faults, garbage, scripted
from apps.simulator.httpwire import Request, Response
from apps.simulator.orders import accounts
from apps.simulator.rest import Invalid, Routes
from apps.simulator.venue import Venue


def list_faults(venue: Venue, request: Request, _: str) -> Response:
    catalogue = [
        {
            "fault": kind.name,
            "what": kind.sentence,
            "args": {param.name: param.default for param in kind.params},
        }
        for kind in faults.CATALOGUE.values()
    ]
    return Response(
        body={
            "catalogue": catalogue,
            "garbage_kinds": list(garbage.KINDS),
            "waiting": venue.plan.waiting() + venue.orders.mishaps.waiting(),
            "executed": venue.journal.as_dict()["faults"],
        }
    )


def order_fault(venue: Venue, request: Request, _: str) -> Response:
    """`{"fault": "stall", "seconds": 5}`, arguments also under "args", or the text form `{"fault": "stall@20:5"}`."""
    body = _object(request)
    name = body.pop("fault", None)
    if not isinstance(name, str):
        raise Invalid('fault is missing, send {"fault": "drop"} or see GET /_sim/faults')
    args = body.pop("args", {})
    if not isinstance(args, dict):
        raise Invalid("args must be an object")
    try:
        fault = checked(venue, name, {**args, **body})
    except ValueError as refused:
        raise Invalid(str(refused)) from None
    return Response(body={"fault": fault.name, "args": fault.args, "status": start(venue, fault)})


def checked(venue: Venue, text: str, args: dict[str, Any]) -> faults.Fault:
    """A fault from its name or text form and arguments; raises ValueError, also for an unlisted product."""
    fault = faults.build(text, args) if args else faults.parse(text)
    product_id = fault.args.get("product")
    if product_id and product_id not in venue.tapes:
        raise ValueError(f"fault {fault.name}: {product_id!r} is not a valid product")
    if fault.name == "garbage":
        garbage.kinds(str(fault.args["kind"]))
    return fault


def start(venue: Venue, fault: faults.Fault) -> str:
    """Carry a fault out now, or plan it when it names a moment; says which."""
    if fault.when == faults.When():
        venue.carry_out(fault)
        return "executed"
    venue.plan.add(fault, venue.elapsed())
    return "planned"


def push_trades(venue: Venue, request: Request, _: str) -> Response:
    """One trade `{"product_id", "price", "size"?, "side"?, "bid"?, "ask"?}` or a list of them, in order."""
    body = _json(request)
    items = body if isinstance(body, list) else [body]
    ids = []
    try:
        made = [_trade(venue, item) for item in items]  # all are checked before the first one happens
    except ValueError as refused:
        raise Invalid(str(refused)) from None
    for item in made:
        ids.append(venue.push(**item))
    venue.hub.flush()
    return Response(body={"trade_ids": ids})


def _trade(venue: Venue, item: object) -> dict[str, str]:
    if not isinstance(item, dict) or not {"product_id", "price"} <= set(item):
        raise ValueError("a trade needs product_id and price")
    unknown = set(item) - {"product_id", "price", "size", "side", "bid", "ask"}
    if unknown:
        raise ValueError(f"{min(unknown)} is not a field of a trade")
    texts = {name: str(value) for name, value in item.items()}
    scripted.trade(venue.lists(), **texts)
    return texts


def list_accounts(venue: Venue, request: Request, _: str) -> Response:
    """Every account with its key: a simulated exchange has no secrets."""
    return Response(body=[account_row(venue, account) for account in venue.orders.accounts.values()])


def open_account(venue: Venue, request: Request, _: str) -> Response:
    """An account from `{"name": ...}` and, where wanted, the other arguments of `accounts.opened`."""
    try:
        account = venue.orders.open_account(accounts.opened(**_object(request)))
    except (TypeError, ValueError) as refused:
        raise Invalid(str(refused)) from None
    return Response(body=account_row(venue, account))


def account_row(venue: Venue, account: accounts.Account) -> dict[str, Any]:
    """An account as plain values, its keys for every dialect included."""
    held = venue.orders.holds(account)
    return {
        "name": account.name,
        "key": account.key,
        "secret": account.secret,
        "pem": account.pem,
        "balances": {asset: f"{amount:f}" for asset, amount in account.balances.items()},
        "holds": {asset: f"{amount:f}" for asset, amount in held.items()},
        "can_trade": account.can_trade,
        "can_transfer": account.can_transfer,
    }


def list_orders(venue: Venue, request: Request, _: str) -> Response:
    return Response(body=orders(venue))


def orders(venue: Venue) -> list[dict[str, Any]]:
    """The truth about every order, oldest first, whatever the faults told the clients."""
    return [
        {
            "id": order.id,
            "account": order.account,
            "client_id": order.client_id,
            "product_id": order.product_id,
            "side": "buy" if order.buy else "sell",
            "kind": order.kind,
            "stage": order.stage,
            "created_us": order.created_us,
            "quantity": f"{order.quantity:f}",
            "filled": f"{order.filled:f}",
            "fills": [{"id": f.id, "quantity": f"{f.quantity:f}", "price": f"{f.price:f}"} for f in order.fills],
        }
        for order in venue.orders.book
    ]


def read_journal(venue: Venue, request: Request, _: str) -> Response:
    return Response(body=journal(venue))


def journal(venue: Venue) -> dict[str, Any]:
    """The truth so far as plain values."""
    truth = venue.journal.as_dict()
    truth["connections"]["open"] = len(venue.hub.sessions)
    truth["listeners"] = venue.hub.audience_by_product()
    truth["trades"] = venue.trades
    truth["seconds"] = round(venue.elapsed(), 3)
    truth["seed"] = venue.config.seed
    truth["finished"] = venue.finished
    return truth


def _object(request: Request) -> dict[str, Any]:
    body = _json(request)
    if not isinstance(body, dict):
        raise Invalid("the body must be a JSON object")
    return body


def _json(request: Request) -> object:
    try:
        return msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid("the body must be JSON") from None


ROUTES: Routes = (
    ("GET", re.compile("/_sim/faults"), list_faults),
    ("POST", re.compile("/_sim/faults"), order_fault),
    ("POST", re.compile("/_sim/trades"), push_trades),
    ("GET", re.compile("/_sim/accounts"), list_accounts),
    ("POST", re.compile("/_sim/accounts"), open_account),
    ("GET", re.compile("/_sim/orders"), list_orders),
    ("GET", re.compile("/_sim/journal"), read_journal),
)
