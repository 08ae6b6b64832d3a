"""What the exchange refuses before it takes an order: sizes, prices, stops and funds it does not have."""

from decimal import Decimal

from apps.domain.orders import OrderKind, TimeInForce
from apps.simulator.orders import matching
from apps.simulator.orders.accounts import Account
from apps.simulator.orders.book import Book, Order, Rejection, Wish
from apps.simulator.orders.matching import Market
from apps.simulator.products import Product

LIMITS = (OrderKind.LIMIT, OrderKind.STOP_LIMIT)
STOPS = (OrderKind.STOP, OrderKind.STOP_LIMIT)


def check(wish: Wish, product: Product, market: Market) -> None:
    """Refuse a wish that is malformed or would do what nobody wants. Raises Rejection."""
    if (wish.quantity is None) == (wish.funds is None):
        raise Rejection("invalid_size", "give a size in base units or in quote units")
    if wish.funds is not None and (wish.kind is not OrderKind.MARKET or not wish.buy):
        raise Rejection("invalid_size", "only a market buy is given in quote units")
    check_grid(wish.quantity, product.base_increment, "size")
    check_grid(wish.funds, product.quote_increment, "size")
    check_grid(wish.limit_price, product.quote_increment, "price")
    check_grid(wish.stop_price, product.quote_increment, "price")
    if (wish.kind in LIMITS) != (wish.limit_price is not None):
        raise Rejection("invalid_price", "a limit price belongs to limit orders and to no other")
    if (wish.kind in STOPS) != (wish.stop_price is not None):
        raise Rejection("invalid_price", "a stop price belongs to stop orders and to no other")
    if wish.tif is TimeInForce.GTD and wish.expires_us is None:
        raise Rejection("invalid_expiry", "an order good till a date needs the date")
    _check_stop(wish, market)
    if wish.post_only and _crosses(wish, market):
        raise Rejection("post_only", "a post-only order would have been filled at once")


def check_grid(amount: Decimal | None, step: str, what: str) -> None:
    """Refuse an amount that is not a positive multiple of its increment."""
    if amount is None:
        return
    if not amount.is_finite() or amount <= 0:
        raise Rejection(f"invalid_{what}", f"{what} {amount} is not a positive number")
    if amount % Decimal(step):
        raise Rejection(f"invalid_{what}_precision", f"{what} {amount:f} is not a multiple of {step}")


def stop_up(wish: Wish) -> bool:
    """Whether the stop waits for a rise: as asked, otherwise up for buys and down for sells."""
    return wish.buy if wish.stop_up is None else wish.stop_up


def _check_stop(wish: Wish, market: Market) -> None:
    if wish.stop_price is None or not matching.triggers(wish.stop_price, stop_up(wish), market.price):
        return
    side = "below" if stop_up(wish) else "above"
    raise Rejection(f"stop_{side}_last", f"the stop price {wish.stop_price:f} is {side} the last trade's price")


def _crosses(wish: Wish, market: Market) -> bool:
    if wish.limit_price is None:
        return True
    return wish.limit_price >= market.ask if wish.buy else wish.limit_price <= market.bid


# Funds


def holds(account: Account, book: Book) -> dict[str, Decimal]:
    """Return what working orders keep of each currency."""
    kept: dict[str, Decimal] = {}
    for order in book.working():
        if order.account == account.name and order.rest > 0:
            base, _, quote = order.product_id.partition("-")
            asset = quote if order.buy else base
            kept[asset] = kept.get(asset, Decimal(0)) + _needs(account, order)
    return kept


def _needs(account: Account, order: Order) -> Decimal:
    if not order.buy:
        return order.rest
    price = order.limit_price or order.stop_price
    return order.rest * price * (1 + account.taker) if price is not None else order.funds or Decimal(0)


def check_funds(account: Account, wish: Wish, book: Book, price: Decimal) -> None:
    """Refuse what the account cannot pay or deliver; `price` is what a market order would pay. Raises Rejection."""
    if account.shorts:
        return
    base, _, quote = wish.product_id.partition("-")
    asset, needed = (quote, _cost(account, wish, price)) if wish.buy else (base, wish.quantity or Decimal(0))
    free = account.balances.get(asset, Decimal(0)) - holds(account, book).get(asset, Decimal(0))
    if needed > free:
        raise Rejection("insufficient_funds", f"{needed:f} {asset} are needed, {free:f} are available")


def _cost(account: Account, wish: Wish, price: Decimal) -> Decimal:
    if wish.funds is not None:
        return wish.funds
    return (wish.quantity or Decimal(0)) * (wish.limit_price or wish.stop_price or price) * (1 + account.taker)
