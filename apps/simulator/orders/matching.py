"""When and at what price the exchange fills an order: rules on plain values."""

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from apps.domain.orders import OrderKind
from apps.simulator.orders.book import Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What matters of a product's last trade."""

    price: Decimal
    bid: Decimal
    ask: Decimal
    trade_id: int


def triggers(stop_price: Decimal, up: bool, price: Decimal) -> bool:
    """Say whether a stop is reached: at its price or beyond."""
    return price >= stop_price if up else price <= stop_price


def taker_price(order: Order, market: Market) -> Decimal | None:
    """Return the price at which an order that takes is filled at once, None when its limit forbids it."""
    price = market.ask if order.buy else market.bid
    if order.kind in (OrderKind.MARKET, OrderKind.STOP) or order.limit_price is None:
        return price
    return price if _is_within(order.buy, order.limit_price, price) else None


def maker_price(order: Order, market: Market) -> Decimal | None:
    """Return the price of a resting order when the market traded at its limit or through it: its limit, or None."""
    if order.limit_price is None:
        return market.ask if order.buy else market.bid
    return order.limit_price if _is_within(order.buy, order.limit_price, market.price) else None


def slice_of(order: Order, lot: Decimal) -> Decimal:
    """Return how much one match fills: all that is left, or the share that the partial-fill fault asks for."""
    if order.share is None:
        return order.rest
    part = floor_to(order.quantity * order.share, lot)
    return min(order.rest, max(part, lot))


def floor_to(amount: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of `step` that is not above `amount`."""
    return (amount / step).to_integral_value(ROUND_FLOOR) * step


def _is_within(buy: bool, limit: Decimal, price: Decimal) -> bool:
    return price <= limit if buy else price >= limit
