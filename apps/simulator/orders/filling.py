"""What one fill does to an order and to its account's balances."""

from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from apps.simulator.orders.accounts import Account, FeeIn
from apps.simulator.orders.book import Fill, Order

FEE_STEP = Decimal("0.00000001")


class Made(NamedTuple):
    """A fill that the matching decided on."""

    id: str
    quantity: Decimal
    price: Decimal
    maker: bool
    trade_id: int
    at_us: int


def book(account: Account, order: Order, made: Made) -> Fill:
    """Add a fill to its order and move the balances; returns it."""
    value = made.quantity * made.price
    quote_fee = (value * (account.maker if made.maker else account.taker)).quantize(FEE_STEP, ROUND_HALF_UP)
    fee, asset = _fee(account, order, made, quote_fee)
    fill = Fill(
        id=made.id, order_id=order.id, trade_id=made.trade_id, product_id=order.product_id, buy=order.buy,
        quantity=made.quantity, price=made.price, fee=fee, fee_asset=asset, maker=made.maker, at_us=made.at_us,
    )  # fmt: skip
    order.fills.append(fill)
    order.filled += made.quantity
    order.value += value
    order.fees += quote_fee
    base, _, quote = order.product_id.partition("-")
    sign = 1 if order.buy else -1
    account.add(base, sign * made.quantity)
    account.add(quote, -sign * value)
    account.add(asset, -fee)
    return fill


def _fee(account: Account, order: Order, made: Made, quote_fee: Decimal) -> tuple[Decimal, str]:
    base, _, quote = order.product_id.partition("-")
    if account.fee_asset:
        return quote_fee, account.fee_asset
    if account.fee_in is FeeIn.RECEIVED and order.buy:
        return (quote_fee / made.price).quantize(FEE_STEP, ROUND_HALF_UP), base
    return quote_fee, quote
