"""Any spot exchange that ccxt knows. The instruments carry ccxt's names, like BTC/USDT.

Exchanges differ in what they do with a client id that was used before, so it is looked up before an order is sent; and
in whether they find an order by it, so where they do not, the working orders and then those that have ended are read.
Most want to be told the product, which is known from our own orders, or from the option `symbols`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar

from apps.domain.orders import Execution, OrderKind, Report, Ticket, TimeInForce
from apps.domain.states import ENDED_ORDERS, OrderStatus
from apps.domain.strategies.parameters import parameter
from apps.trading.brokers import ccxt_orders as words
from apps.trading.brokers.base import (
    Abilities,
    Access,
    Broker,
    BrokerBusy,
    BrokerRefused,
    BrokerUnclear,
    Holding,
)
from apps.trading.brokers.ccxt_exchange import Exchange, OrderMissing, library
from apps.trading.models import Order

# Exchanges whose fetch_order of ccxt asks for the very id that create_order sent. Kraken's asks for another field.
BY_CLIENT_ID = frozenset(
    ("aster", "binance", "binanceus", "bitget", "coinsph", "hashkey", "htx", "mexc", "okx", "phemex")
)
LOOK_BACK = timedelta(days=3)  # an order whose id at the exchange we never learned is not older
PAGE = 500
_MARGIN = timedelta(seconds=2)  # between the times of an order and of its trades
_ENDED = ("fetchOrders", "fetchClosedOrders", "fetchCanceledOrders")

T = TypeVar("T")


class _Exchanges(Sequence[str]):
    """The names of all exchanges; ccxt is loaded when somebody asks for them."""

    def __getitem__(self, place: Any) -> Any:
        return library().exchanges[place]

    def __len__(self) -> int:
        return len(library().exchanges)


@dataclass(frozen=True, slots=True, kw_only=True)
class CcxtOptions:
    """What an account at an exchange through ccxt lets one choose."""

    exchange: str = field(
        default="kraken",
        metadata={"help": "The exchange's name in ccxt.", "options": _Exchanges(), "title": "Exchange"},
    )
    requests_per_second: float = parameter(
        5.0, "At most so many requests, all processes of one machine apart.", lowest=0.1, highest=100.0
    )
    read_timeout: float = parameter(8.0, "Seconds to wait for an answer.", lowest=0.1, highest=60.0)


class CcxtBroker(Broker):
    """One account at one exchange, named by the option `exchange`."""

    name = "ccxt"
    abilities: ClassVar[Abilities] = Abilities(
        kinds=frozenset(OrderKind), tifs=frozenset({TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK})
    )
    options = CcxtOptions

    def __init__(self, access: Access, account_id: int) -> None:
        super().__init__(access, account_id)
        self._exchange = Exchange(access)
        self._placed: dict[str, str] = {}  # the product of each client id that went through here

    def close(self) -> None:
        """Let go of connections."""
        self._exchange.close()

    # Orders

    def place(self, ticket: Ticket) -> Report:
        """Send an order unless the exchange has it already, and return how it stands."""
        self._placed[ticket.client_id] = ticket.symbol
        known = self._by_client_id(ticket.client_id, ticket.symbol, sure=False)
        if known is not None:
            return self._with_trades(known, ticket.client_id)
        arguments = self._exchange.read(lambda api: _arguments(api, ticket))
        try:
            told = self._exchange.change(lambda api: api.create_order(*arguments))
        except BrokerRefused as refused:
            if "uplicate" not in str(refused):
                raise
            return self._looked(lambda: self.find(ticket.client_id))  # another process was faster
        if not told.get("id"):
            raise BrokerUnclear(f"the answer of {self._exchange.name} names no order")
        told = {"symbol": ticket.symbol, "side": arguments[2], "amount": str(ticket.quantity), **_known(told)}
        return self._standing(told, ticket.client_id)

    def cancel(self, client_id: str, venue_id: str) -> Report:
        """Ask for an order to be taken back and return how it stands."""
        before = self.find(client_id, venue_id)
        if before is None:
            raise BrokerRefused(f"{self._exchange.name} has no order {client_id or venue_id}")
        if before.status in (*ENDED_ORDERS, OrderStatus.CANCELLING):
            return before
        refusal: BrokerRefused | None = None
        try:
            self._exchange.change(lambda api: api.cancel_order(before.venue_id, before.symbol))
        except BrokerRefused as refused:
            refusal = refused  # it may have ended a moment ago: the order itself says
        after = self._looked(lambda: self.find(client_id, before.venue_id))
        if refusal is not None and after.status not in (*ENDED_ORDERS, OrderStatus.CANCELLING):
            raise refusal
        return after

    def find(self, client_id: str, venue_id: str = "") -> Report | None:
        """Return how an order stands with its trades, None when the exchange shows none."""
        for symbol in self._symbols_of(client_id):
            order = self._by_venue_id(venue_id, symbol) if venue_id else self._by_client_id(client_id, symbol)
            if order is not None:
                return self._with_trades(order, client_id)
        return None

    def working(self) -> list[Report]:
        """Return every order that works at the exchange, also those that are not ours."""
        found = self._over_symbols(lambda api, symbol: api.fetch_open_orders(symbol))
        orders = {str(order["id"]): order for order in found}
        return [_read(words.report, order, words.our_id(order)) for order in orders.values()]

    def executions(self, since: datetime) -> list[tuple[str, Execution]]:
        """Return all trades since an instant, oldest first, each with the exchange's id of its order."""
        found: dict[str, tuple[str, Execution]] = {}
        for symbol in self._symbols():
            for trade in self._trades(symbol, since):
                one = _read(words.execution, trade)
                found[one.id] = (str(trade.get("order") or ""), one)
        return sorted((pair for pair in found.values() if pair[1].at >= since), key=lambda pair: pair[1].at)

    # The account

    def positions(self) -> list[Holding] | None:
        """Return None: spot exchanges know balances only."""
        return None

    def balances(self) -> list[Holding]:
        """Return amounts per currency, what orders keep included."""
        return _read(words.holdings, self._exchange.read(lambda api: api.fetch_balance()))

    def clock(self) -> datetime:
        """Return the exchange's time. Raises BrokerRefused where it tells none."""
        if not self._exchange.has("fetchTime"):
            raise BrokerRefused(f"{self._exchange.name} does not tell its time")
        at = words.instant(self._exchange.read(lambda api: api.fetch_time()))
        if at is None:
            raise BrokerBusy(f"the time of {self._exchange.name} cannot be read")
        return at

    # Inside

    def _by_venue_id(self, venue_id: str, symbol: str) -> Mapping[str, Any] | None:
        try:
            return self._named(self._exchange.read(lambda api: api.fetch_order(venue_id, symbol)))
        except OrderMissing:
            return None

    def _by_client_id(self, client_id: str, symbol: str, *, sure: bool = True) -> Mapping[str, Any] | None:
        if self._exchange.name not in BY_CLIENT_ID:
            return self._searched(client_id, symbol, sure=sure)
        params = {"clientOrderId": words.sent_id(self._exchange.name, client_id)}
        try:
            return self._named(self._exchange.read(lambda api: api.fetch_order(None, symbol, params)))
        except OrderMissing:
            return None

    def _named(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return an order that was asked for; an answer that names none does not say that there is none."""
        if not order.get("id"):
            raise BrokerBusy(f"the answer of {self._exchange.name} names no order")
        return order

    def _searched(self, client_id: str, symbol: str, *, sure: bool) -> Mapping[str, Any] | None:
        """Return the order with a client id, of those that work or have ended lately.

        To be `sure` that there is none takes more than not to see it: an order shown without any client id may be it.
        """
        nameless = 0
        for row in self._lately(symbol):
            shown = str(row.get("clientOrderId") or "")
            if shown and words.our_id(row) == client_id:
                return row
            nameless += not shown
        if sure and (nameless or not any(map(self._exchange.has, _ENDED))):
            raise BrokerBusy(f"{self._exchange.name} does not show by which of our ids it knows its orders")
        return None

    def _lately(self, symbol: str) -> Iterator[Mapping[str, Any]]:
        yield from self._exchange.read(lambda api: list(api.fetch_open_orders(symbol)))
        since = int((self.clock() - LOOK_BACK).timestamp() * 1000) if self._exchange.has("fetchTime") else None
        for method in filter(self._exchange.has, _ENDED):
            yield from self._exchange.read(lambda api, name=method: list(_called(api, name, symbol, since)))  # type: ignore[misc]  # a lambda's default has no type

    def _with_trades(self, order: Mapping[str, Any], client_id: str) -> Report:
        """Return an order with its trades."""
        found = _read(words.report, order, client_id)
        if not found.filled:
            return found
        trades = self._trades_of(order, found)
        executions = {one.id: one for one in (_read(words.execution, trade) for trade in trades)}
        return _read(words.report, order, client_id, list(executions.values()))

    def _trades_of(self, order: Mapping[str, Any], found: Report) -> list[Mapping[str, Any]]:
        if self._exchange.has("fetchOrderTrades"):
            return self._exchange.read(lambda api: list(api.fetch_order_trades(found.venue_id, found.symbol)))
        began = words.instant(order.get("timestamp"))
        since = (began or self.clock() - LOOK_BACK) - _MARGIN
        return [trade for trade in self._trades(found.symbol, since) if str(trade.get("order")) == found.venue_id]

    def _trades(self, symbol: str, since: datetime) -> Iterator[Mapping[str, Any]]:
        """Yield the account's trades of a product since an instant, page by page."""
        start, seen = int(since.timestamp() * 1000), set[str]()
        while True:
            page = self._exchange.read(
                lambda api, start=start: list(api.fetch_my_trades(symbol, start, PAGE))  # type: ignore[misc]  # as above
            )
            new = [trade for trade in page if str(trade.get("id")) not in seen]
            yield from new
            seen |= {str(trade.get("id")) for trade in new}
            newest = max((trade["timestamp"] for trade in page), default=start)
            if len(page) < PAGE or not new:
                return
            start = newest

    def _over_symbols(self, question: Callable[[Any, str | None], Any]) -> list[Mapping[str, Any]]:
        """Ask once for all products, or one by one where the exchange wants each named."""
        try:
            return list(self._exchange.read(lambda api: question(api, None)))
        except BrokerRefused as refused:
            if "ArgumentsRequired" not in str(refused):
                raise
        return [
            row
            for symbol in self._symbols()
            for row in self._exchange.read(lambda api, symbol=symbol: question(api, symbol))  # type: ignore[misc]  # as above
        ]

    def _standing(self, told: Mapping[str, Any], client_id: str) -> Report:
        """Return how an order stands that was just taken; without its trades when nobody tells them now."""
        try:
            return self._with_trades(told, client_id)
        except (BrokerBusy, BrokerRefused):
            try:
                return words.report(told, client_id)
            except words.Unreadable as unreadable:
                raise BrokerUnclear(f"the answer of {self._exchange.name} cannot be: {unreadable}") from None

    def _looked(self, look: Callable[[], Report | None]) -> Report:
        """Return what a look after a change says. Raises BrokerUnclear when nobody tells."""
        try:
            found = look()
        except (BrokerBusy, BrokerRefused) as error:
            raise BrokerUnclear(str(error)) from None
        if found is None:
            raise BrokerUnclear(f"{self._exchange.name} does not show the order at the moment")
        return found

    def _symbols_of(self, client_id: str) -> list[str]:
        """Return the products an order may be of: its own if it is ours, otherwise all we trade there."""
        if client_id in self._placed:
            return [self._placed[client_id]]
        ours = Order.objects.filter(client_id=client_id, account_id=self.account_id)
        symbol = ours.values_list("instrument__symbol", flat=True).first() if client_id else None
        return [symbol] if symbol else self._symbols()

    def _symbols(self) -> list[str]:
        """Return the products we trade there."""
        named = (self.access.options or {}).get("symbols")
        if named:
            return list(named)
        ours = Order.objects.filter(account_id=self.account_id).order_by("instrument__symbol")
        return list(ours.values_list("instrument__symbol", flat=True).distinct())


def _arguments(api: Any, ticket: Ticket) -> list[Any]:
    """Return what create_order is called with, or refuse what ccxt would round silently."""
    symbol = ticket.symbol
    try:
        return words.request(
            replace(ticket, client_id=words.sent_id(api.id, ticket.client_id)),
            lambda amount: str(api.amount_to_precision(symbol, amount)),
            lambda price: str(api.price_to_precision(symbol, price)),
        )
    except words.Unreadable as wrong:
        raise BrokerRefused(str(wrong)) from None


def _called(api: Any, name: str, symbol: str, since: int | None) -> Any:
    method = {"fetchOrders": "fetch_orders", "fetchClosedOrders": "fetch_closed_orders"}.get(name)
    return getattr(api, method or "fetch_canceled_orders")(symbol, since)


def _known(order: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an answer says, without what it leaves open."""
    return {name: value for name, value in order.items() if value is not None}


def _read(reader: Callable[..., T], *told: object) -> T:
    """Read a part of an answer to a question; what cannot be is asked again later."""
    try:
        return reader(*told)
    except words.Unreadable as unreadable:
        raise BrokerBusy(f"the exchange's answer cannot be: {unreadable}") from None
