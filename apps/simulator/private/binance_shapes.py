"""What Binance's spot API lists, and its orders, trades and balances."""

from decimal import Decimal
from typing import Any

from apps.domain.orders import OrderKind, TimeInForce
from apps.simulator.httpwire import Response
from apps.simulator.orders.accounts import Account
from apps.simulator.orders.book import Fill, Order, Rejection, Stage
from apps.simulator.products import Product

_FILLS_KEPT_APART = 10_000  # of one order
_TYPES = {
    OrderKind.MARKET: "MARKET",
    OrderKind.LIMIT: "LIMIT",
    OrderKind.STOP: "STOP_LOSS",
    OrderKind.STOP_LIMIT: "STOP_LOSS_LIMIT",
}
_STATUSES = {
    Stage.PENDING: "PENDING_NEW",
    Stage.CANCEL_QUEUED: "PENDING_CANCEL",
    Stage.FILLED: "FILLED",
    Stage.CANCELLED: "CANCELED",
    Stage.EXPIRED: "EXPIRED",
}
_REASONS = {
    "insufficient_funds": (-2010, "Account has insufficient balance for requested action."),
    "invalid_size": (-1013, "Filter failure: LOT_SIZE"),
    "invalid_size_precision": (-1013, "Filter failure: LOT_SIZE"),
    "invalid_price": (-1013, "Filter failure: PRICE_FILTER"),
    "invalid_price_precision": (-1013, "Filter failure: PRICE_FILTER"),
    "invalid_product": (-1121, "Invalid symbol."),
    "stop_above_last": (-2010, "Stop price would trigger immediately."),
    "stop_below_last": (-2010, "Stop price would trigger immediately."),
}


def symbol(product_id: str) -> str:
    """A product as this exchange calls it."""
    return product_id.replace("-", "")


def listed(product: Product) -> dict[str, Any]:
    """One product of the exchange's list."""
    return {
        "symbol": symbol(product.id),
        "status": "TRADING",
        "baseAsset": product.base,
        "baseAssetPrecision": 8,
        "quoteAsset": product.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": list(_TYPES.values()),
        "icebergAllowed": False,
        "ocoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": product.quote_increment,
                "maxPrice": "1000000.00000000",
                "tickSize": product.quote_increment,
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": product.base_increment,
                "maxQty": "10000000.00000000",
                "stepSize": product.base_increment,
            },
        ],
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
    }


def order(each: Order, skew_us: int, *, whole: bool = False) -> dict[str, Any]:
    """One order; the answer to a new one names its fills as well."""
    row: dict[str, Any] = {
        "symbol": symbol(each.product_id),
        "orderId": each.serial,
        "orderListId": -1,
        "clientOrderId": each.client_id,
        "price": f"{each.limit_price or Decimal(0):f}",
        "origQty": f"{each.quantity:f}",
        "executedQty": f"{each.filled:f}",
        "cummulativeQuoteQty": f"{each.value:f}",
        "status": status(each),
        "timeInForce": each.tif.value.upper(),
        "type": _TYPES[each.kind],
        "side": "BUY" if each.buy else "SELL",
        "stopPrice": f"{each.stop_price or Decimal(0):f}",
        "icebergQty": "0.00000000",
        "isWorking": True,
        "workingTime": _ms(each.created_us, skew_us),
        "origQuoteOrderQty": f"{each.funds or Decimal(0):f}",
        "selfTradePreventionMode": "NONE",
    }
    if not whole:
        return row | {"time": _ms(each.created_us, skew_us), "updateTime": _ms(each.changed_us, skew_us)}
    fills = [
        {
            "price": f"{fill.price:f}",
            "qty": f"{fill.quantity:f}",
            "commission": f"{fill.fee:f}",
            "commissionAsset": fill.fee_asset,
            "tradeId": _number(fill, each),
        }
        for fill in each.fills
    ]
    return row | {"transactTime": _ms(each.created_us, skew_us), "fills": fills}


def status(each: Order) -> str:
    """The status as this dialect calls it; what an order that acts at once leaves has expired."""
    if each.stage is Stage.OPEN:
        return "PARTIALLY_FILLED" if each.filled else "NEW"
    if each.stage is Stage.CANCELLED and each.tif in (TimeInForce.IOC, TimeInForce.FOK):
        return "EXPIRED"
    return _STATUSES[each.stage]


def trade(each: Fill, of: Order | None, skew_us: int) -> dict[str, Any]:
    """One fill."""
    return {
        "symbol": symbol(each.product_id),
        "id": _number(each, of),
        "orderId": 0 if of is None else of.serial,
        "orderListId": -1,
        "price": f"{each.price:f}",
        "qty": f"{each.quantity:f}",
        "quoteQty": f"{each.price * each.quantity:f}",
        "commission": f"{each.fee:f}",
        "commissionAsset": each.fee_asset,
        "time": _ms(each.at_us, skew_us),
        "isBuyer": each.buy,
        "isMaker": each.maker,
        "isBestMatch": True,
    }


def account(each: Account, held: dict[str, Decimal]) -> dict[str, Any]:
    """The account with its balances."""
    rows = []
    for asset, total in sorted(each.balances.items()):
        kept = held.get(asset, Decimal(0))
        rows.append({"asset": asset, "free": f"{total - kept:f}", "locked": f"{kept:f}"})
    return {
        "makerCommission": 10,
        "takerCommission": 10,
        "canTrade": each.can_trade,
        "canWithdraw": each.can_transfer,
        "canDeposit": True,
        "accountType": "SPOT",
        "balances": rows,
        "permissions": ["SPOT"],
    }


def rejected(rejection: Rejection) -> tuple[int, str]:
    """Why an order was refused: the number and the sentence of this dialect."""
    return _REASONS.get(rejection.code, (-2010, rejection.text))


def problem(status: int, code: int, text: str) -> Response:
    """An error."""
    return Response(status=status, body={"code": code, "msg": text})


def _number(fill: Fill, of: Order | None) -> int:
    """The whole number of a fill, counted within its product."""
    if of is None:
        return 0
    ids = [one.id for one in of.fills]
    return of.serial * _FILLS_KEPT_APART + ids.index(fill.id)


def _ms(at_us: int, skew_us: int) -> int:
    return (at_us + skew_us) // 1000
