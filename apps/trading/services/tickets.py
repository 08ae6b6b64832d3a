"""An order as its broker is told of it: in the venue's words, and nothing the venue cannot take."""

from decimal import Decimal

from apps.domain.orders import OrderKind, Ticket, TimeInForce
from apps.trading.brokers.base import Abilities
from apps.trading.models import Order


def of_order(order: Order, abilities: Abilities) -> Ticket:
    """Return the ticket of an order; a market order gets a time in force that the venue knows."""
    return Ticket(
        client_id=order.client_id,
        symbol=order.instrument.symbol,
        buy=order.buy,
        kind=OrderKind(order.kind),
        quantity=order.quantity,
        tif=_tif(order, abilities),
        limit_price=order.limit_price,
        stop_price=order.stop_price,
        expires_at=order.expires_at,
        reduce_only=order.reduce_only and abilities.reduce_only,
    )


def amended(order: Order, abilities: Abilities) -> Ticket:
    """Return the ticket of an order as its amendment wants it."""
    wanted = {name: Decimal(value) for name, value in (order.amendment or {}).items()}
    known = of_order(order, abilities)
    return Ticket(
        client_id=known.client_id,
        symbol=known.symbol,
        buy=known.buy,
        kind=known.kind,
        quantity=wanted.get("quantity", known.quantity),
        tif=known.tif,
        limit_price=wanted.get("limit_price", known.limit_price),
        stop_price=wanted.get("stop_price", known.stop_price),
        expires_at=known.expires_at,
        reduce_only=known.reduce_only,
    )


def _tif(order: Order, abilities: Abilities) -> TimeInForce:
    wanted = TimeInForce(order.tif)
    if order.kind != OrderKind.MARKET or wanted in abilities.tifs:
        return wanted
    preferred = (TimeInForce.IOC, TimeInForce.DAY, TimeInForce.GTC)
    return next((one for one in preferred if one in abilities.tifs), wanted)
