"""Trades at prices somebody asked for, checked and with a quote around them."""

from collections.abc import Mapping
from decimal import Decimal

from apps.simulator import market, products

STEP = 2  # of the book's sequence, the smallest the feed shows between two trades


def trade(
    listed: Mapping[str, products.Product],
    product_id: str,
    price: str,
    *,
    size: str = "0.01",
    side: str = "buy",
    bid: str | None = None,
    ask: str | None = None,
) -> market.Print:
    """A trade at exactly this price; the quote is one tick wide unless given. Raises ValueError with one sentence."""
    if product_id not in listed:
        raise ValueError(f"product_id: {product_id!r} is not a valid product")
    if side not in ("buy", "sell"):
        raise ValueError(f"side must be buy or sell, not {side!r}")
    number = products.positive_decimal(price, "price")
    amount = products.positive_decimal(size, "size")
    low, high = _quote(number, side, listed[product_id].quote_decimals)
    if bid is not None:
        low = f"{products.positive_decimal(bid, 'bid'):f}"
    if ask is not None:
        high = f"{products.positive_decimal(ask, 'ask'):f}"
    return (float(number), price, float(amount), size, side, low, "1.00000000", high, "1.00000000", STEP)


def _quote(price: Decimal, side: str, decimals: int) -> tuple[str, str]:
    """The taker buys at the ask and sells at the bid; the other side is one tick away."""
    tick = Decimal(1).scaleb(-decimals)
    low = price if side == "sell" else max(tick, price - tick)
    high = price if side == "buy" else price + tick
    return f"{low:.{decimals}f}", f"{high:.{decimals}f}"
