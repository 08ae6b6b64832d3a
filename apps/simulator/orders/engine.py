"""The matching engine: orders of all accounts against the exchange's own prices. Knows no wire and reads no clock.

A dialect turns requests into `Wish`es and calls `place`, `cancel`, `amend`, `find`, `find_by_client`, `orders` and
`fills`; instants are microseconds without the clock fault. What the exchange refuses is a `Rejection` with a code.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path

from apps.domain.orders import OrderKind, TimeInForce
from apps.simulator.orders import accounts, checking, filling, matching
from apps.simulator.orders.accounts import Account
from apps.simulator.orders.book import Book, Fill, Order, Rejection, Stage, Wish
from apps.simulator.orders.matching import Market
from apps.simulator.orders.memory import Line, Memory
from apps.simulator.orders.mishaps import Mishaps
from apps.simulator.products import Product
from apps.simulator.protocol import Trade

AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)
RESTING = (OrderKind.LIMIT, OrderKind.STOP_LIMIT)
_PERCENT = Decimal(100)


class Engine:
    """Orders, accounts and order faults of one exchange. Lives on the event loop's thread."""

    def __init__(
        self, listed: Mapping[str, Product], last: Callable[[str], Trade | None], remembered: Path | None = None
    ) -> None:
        """`last` gives the last trade of a product; `remembered` is a file that survives a restart."""
        self.mishaps = Mishaps()
        self.book = Book()
        self.accounts: dict[str, Account] = {}
        self._listed = listed
        self._last = last
        self._changed: dict[str, Order] = {}
        self._memory = Memory(remembered)
        main = accounts.default(listed.values())
        self.accounts[main.name] = main
        self._remember(self._memory.load())

    # Accounts

    def open_account(self, account: Account) -> Account:
        """Add an account, or put one of this name in its place; its orders stay."""
        self.accounts[account.name] = account
        self._memory.note([Line(account=account.name, balances=account.balances, opened=account)])
        return account

    def account_of(self, key: str) -> Account | None:
        """Return the account that a key belongs to."""
        return next((account for account in self.accounts.values() if account.key == key), None)

    def holds(self, account: Account) -> dict[str, Decimal]:
        """Return what working orders keep of each currency."""
        return checking.holds(account, self.book)

    # Orders

    def place(self, account: Account, wish: Wish, now_us: int) -> Order:
        """Take an order and match it; a client id the account has used returns its first order. Raises Rejection."""
        known = self.book.by_client(account.name, wish.client_id) if wish.client_id else None
        if known is not None:
            return known
        forced = self.mishaps.take("order_reject")
        if forced is not None:
            raise Rejection("forced", str(forced["reason"]))
        market = self.market(wish.product_id)
        checking.check(wish, self._listed[wish.product_id], market)
        checking.check_funds(account, wish, self.book, market.ask if wish.buy else market.bid)
        order = self._new(account, wish, market, now_us)
        if order.acts_us is None:
            self._activate(order, market, now_us)
        self._keep(order)
        self._write()
        return order

    def cancel(self, order: Order, now_us: int) -> Order:
        """Take an order back. Raises Rejection when it has ended."""
        if order.stage is Stage.CANCEL_QUEUED:
            raise Rejection("cancel_twice", "its cancel was asked for before")
        if order.stage not in (Stage.PENDING, Stage.OPEN):
            raise Rejection("ended", f"the order is {order.stage}")
        late = self.mishaps.take("order_late_fill")
        if late is None:
            self._end(order, Stage.CANCELLED, now_us, "cancelled by its owner")
        else:
            order.late_share = Decimal(str(late["percent"])) / _PERCENT
            order.acts_us = now_us + round(float(late["seconds"]) * 1_000_000)
            self._set(order, Stage.CANCELLED if late["final"] else Stage.CANCEL_QUEUED, now_us)
        self._write()
        return order

    def amend(
        self, order: Order, now_us: int, *,
        quantity: Decimal | None = None, limit_price: Decimal | None = None, stop_price: Decimal | None = None,
    ) -> Order:  # fmt: skip
        """Change a working order in place; `quantity` is the whole, filled part included. Raises Rejection."""
        if order.stage is not Stage.OPEN:
            raise Rejection("ended", f"the order is {order.stage}")
        product = self._listed[order.product_id]
        checking.check_grid(quantity, product.base_increment, "size")
        checking.check_grid(limit_price, product.quote_increment, "price")
        checking.check_grid(stop_price, product.quote_increment, "price")
        if quantity is not None and quantity <= order.filled:
            raise Rejection("invalid_size", f"{order.filled:f} are filled already")
        order.quantity = quantity or order.quantity
        order.limit_price = limit_price or order.limit_price
        order.stop_price = stop_price or order.stop_price
        self._set(order, Stage.OPEN, now_us)
        self._take(order, self.market(order.product_id), now_us)
        self._write()
        return order

    def find(self, account: Account, order_id: str, now_us: int) -> Order | None:
        """Return an account's order by the exchange's id, None when there is none or a fault hides it."""
        return _seen(self.book.by_id(order_id), account, now_us)

    def find_by_client(self, account: Account, client_id: str, now_us: int) -> Order | None:
        """Return an account's order by its own id, None when there is none or a fault hides it."""
        return _seen(self.book.by_client(account.name, client_id), account, now_us)

    def orders(self, account: Account, now_us: int) -> list[Order]:
        """Return an account's orders, newest first, without those a fault hides."""
        return [order for order in self.book.of(account.name) if order.hidden_until_us <= now_us]

    def fills(self, account: Account, now_us: int) -> list[Fill]:
        """Return an account's fills, newest first; the duplicate fault lists each of them twice."""
        found = [fill for order in self.orders(account, now_us) for fill in order.fills]
        found.sort(key=lambda fill: (fill.at_us, fill.id), reverse=True)
        if found and self.mishaps.take("order_duplicate") is not None:
            return [fill for fill in found for _ in range(2)]
        return found

    # Time and prices

    def market(self, product_id: str) -> Market:
        """Return what the last trade of a product says. Raises Rejection for an unlisted product."""
        last = self._last(product_id) if product_id in self._listed else None
        if last is None:
            raise Rejection("invalid_product", f"{product_id!r} is not a valid product")
        return _market(last)

    def on_trade(self, trade: Trade) -> None:
        """Match the working orders of a product with its newest trade."""
        found = self.book.live.get(trade.product_id)
        if not found:
            return
        market = _market(trade)
        for order in list(found.values()):
            if order.stage is Stage.OPEN:
                self._match(order, market, trade.time_us)
        self._write()

    def tick(self, now_us: int) -> None:
        """Do what falls due: orders that were pending, late fills, orders past their date."""
        if not self.book.live:
            return
        for order in self.book.working():
            if order.acts_us is not None and order.acts_us <= now_us:
                self._act(order, now_us)
            elif order.stage is Stage.OPEN and order.expires_us is not None and order.expires_us <= now_us:
                self._end(order, Stage.EXPIRED, now_us, "its time was over")
        self._write()

    def close(self) -> None:
        """Let go of the file."""
        self._memory.close()

    # Inside

    def _new(self, account: Account, wish: Wish, market: Market, now_us: int) -> Order:
        serial = self.book.serial + 1
        price = market.ask
        quantity = wish.quantity
        if quantity is None:  # as much as the funds buy, fee included
            lot = Decimal(self._listed[wish.product_id].base_increment)
            quantity = matching.floor_to((wish.funds or Decimal(0)) / (price * (1 + account.taker)), lot)
            if quantity <= 0:
                raise Rejection("invalid_size", "the funds buy nothing")
        order = Order(
            id=_uuid(f"{account.name}:{serial}:{wish.client_id}:{now_us}"), serial=serial, account=account.name,
            client_id=wish.client_id, product_id=wish.product_id, buy=wish.buy, kind=wish.kind, tif=wish.tif,
            quantity=quantity, funds=wish.funds, limit_price=wish.limit_price, stop_price=wish.stop_price,
            stop_up=checking.stop_up(wish), expires_us=wish.expires_us, post_only=wish.post_only, tags=wish.tags,
            created_us=now_us, changed_us=now_us,
        )  # fmt: skip
        self._afflict(order, now_us)
        return order

    def _afflict(self, order: Order, now_us: int) -> None:
        """Let the faults that wait for a new order have this one."""
        if (lost := self.mishaps.take("order_lost")) is not None:
            order.hidden_until_us = now_us + round(float(lost["seconds"]) * 1_000_000)
        if (partial := self.mishaps.take("order_partial")) is not None:
            order.share = Decimal(str(partial["percent"])) / _PERCENT
            order.stays = bool(partial["stays"])
        if (pending := self.mishaps.take("order_pending")) is not None:
            order.acts_us = now_us + round(float(pending["seconds"]) * 1_000_000)

    def _activate(self, order: Order, market: Market, now_us: int) -> None:
        self._set(order, Stage.OPEN, now_us)
        self._take(order, market, now_us)

    def _take(self, order: Order, market: Market, now_us: int) -> None:
        """Fill what can be filled at once, and end what does not rest."""
        if order.stop_price is not None and not order.triggered:
            return
        price = matching.taker_price(order, market)
        if order.tif is TimeInForce.FOK and (price is None or order.share is not None):
            self._end(order, Stage.CANCELLED, now_us, "it could not be filled as a whole")
            return
        if price is not None:
            self._fill(order, self._slice(order), price, False, market.trade_id, now_us)
        if order.stage is Stage.OPEN and order.tif in AT_ONCE and not order.stays:
            self._end(order, Stage.CANCELLED, now_us, "the rest could not be filled at once")

    def _match(self, order: Order, market: Market, now_us: int) -> None:
        if order.stop_price is not None and not order.triggered:
            if matching.triggers(order.stop_price, order.stop_up, market.price):
                order.triggered = True
                self._set(order, Stage.OPEN, now_us)
                self._take(order, market, now_us)
            return
        price = matching.maker_price(order, market)
        if price is not None:
            self._fill(order, self._slice(order), price, order.kind in RESTING, market.trade_id, now_us)

    def _act(self, order: Order, now_us: int) -> None:
        order.acts_us = None
        market = self.market(order.product_id)
        if order.late_share is None:
            self._activate(order, market, now_us)
            return
        lot = Decimal(self._listed[order.product_id].base_increment)
        quantity = min(order.rest, matching.floor_to(order.rest * order.late_share, lot))
        order.late_share = None
        if quantity > 0:
            price = order.limit_price or (market.ask if order.buy else market.bid)
            self._fill(order, quantity, price, order.kind in RESTING, market.trade_id, now_us)
        if order.rest > 0:
            self._end(order, Stage.CANCELLED, now_us, "cancelled by its owner")

    def _slice(self, order: Order) -> Decimal:
        return matching.slice_of(order, Decimal(self._listed[order.product_id].base_increment))

    def _fill(self, order: Order, quantity: Decimal, price: Decimal, maker: bool, trade_id: int, now_us: int) -> None:
        fill_id = _uuid(f"fill:{order.id}:{len(order.fills)}")
        account = self.accounts[order.account]
        filling.book(account, order, filling.Made(fill_id, quantity, price, maker, trade_id, now_us))
        self._set(order, order.stage if order.rest > 0 else Stage.FILLED, now_us)

    def _end(self, order: Order, stage: Stage, now_us: int, why: str) -> None:
        order.why = why
        self._set(order, stage, now_us)

    def _set(self, order: Order, stage: Stage, now_us: int) -> None:
        order.stage, order.changed_us = stage, now_us
        self._keep(order)

    def _keep(self, order: Order) -> None:
        self.book.keep(order)
        self._changed[order.id] = order

    def _write(self) -> None:
        if self._changed:
            changed, self._changed = self._changed, {}
            self._memory.note(
                Line(account=o.account, balances=self.accounts[o.account].balances, order=o) for o in changed.values()
            )

    def _remember(self, lines: Iterable[Line]) -> None:
        for line in lines:
            if line.opened is not None:
                self.accounts[line.account] = line.opened
            self.accounts[line.account].balances = line.balances
            if line.order is not None:
                self.book.keep(line.order)


def _seen(order: Order | None, account: Account, now_us: int) -> Order | None:
    if order is None or order.account != account.name or order.hidden_until_us > now_us:
        return None
    return order


def _market(trade: Trade) -> Market:
    price = Decimal(trade.price)
    # A quote of 0 is a fault of the feed's; the book itself has one.
    bid, ask = Decimal(trade.bid) or price, Decimal(trade.ask) or price
    return Market(price=price, bid=bid, ask=ask, trade_id=trade.trade_id)


def _uuid(text: str) -> str:
    digits = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
