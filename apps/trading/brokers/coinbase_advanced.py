"""Coinbase Advanced Trade: spot orders by REST, one key per account.

Reference: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/rest-api. The venue has no stop-market order
and no look-up by client id: an order without venue id is found by reading the newest orders.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import ClassVar, TypeVar

from apps.domain import numbers
from apps.domain.errors import Unavailable
from apps.domain.orders import Execution, OrderKind, Report, Ticket, TimeInForce
from apps.domain.states import ENDED_ORDERS, OrderStatus
from apps.trading.brokers import coinbase_orders as words
from apps.trading.brokers.base import (
    Abilities,
    Access,
    Broker,
    BrokerBusy,
    BrokerRefused,
    BrokerUnclear,
    Holding,
    Rights,
)
from apps.trading.brokers.coinbase_tokens import Signer
from apps.trading.brokers.http import Denied, Line, NotFound, Query, limits_of

ADDRESS = "https://api.coinbase.com"
BASE = "/api/v3/brokerage"
PAGE = "250"
LOOK_BACK = timedelta(days=3)  # an order whose venue id we never learned is not older
_NOT_WORKING_YET = (("order_status", "PENDING"), ("order_status", "QUEUED"), ("order_status", "CANCEL_QUEUED"),
                    ("order_status", "EDIT_QUEUED"))  # fmt: skip

T = TypeVar("T")


class CoinbaseAdvanced(Broker):
    """One Advanced Trade account. A repeated client id makes no second order there."""

    name: ClassVar[str] = "coinbase_advanced"
    sandboxes: ClassVar[tuple[str, ...]] = ("https://api-sandbox.coinbase.com",)  # answers, but never trades
    abilities: ClassVar[Abilities] = Abilities(
        kinds=frozenset({OrderKind.MARKET, OrderKind.LIMIT, OrderKind.STOP_LIMIT}),
        tifs=frozenset({TimeInForce.GTC, TimeInForce.GTD, TimeInForce.IOC, TimeInForce.FOK}),
        amends=True,
        protects=True,
    )

    def __init__(self, access: Access, account_id: int) -> None:
        super().__init__(access, account_id)
        self._signer: Signer | None = None
        self._open: Line | None = None

    def close(self) -> None:
        """Let go of connections."""
        if self._open is not None:
            self._open.close()

    # Orders

    def place(self, ticket: Ticket) -> Report:
        """Send an order and return how it stands; what was accepted but cannot be looked at yet is ACCEPTED."""
        body = {
            "client_order_id": ticket.client_id,
            "product_id": ticket.symbol,
            "side": "BUY" if ticket.buy else "SELL",
            "order_configuration": words.configuration(ticket),
        }
        answer: words.Placed = self._ask(lambda line: line.change("POST", f"{BASE}/orders", body, kind=words.Placed))
        if not answer.success or answer.success_response is None:
            raise _refusal(answer)
        venue_id = answer.success_response.order_id
        try:
            found = self._by_venue_id(venue_id)
        except Unavailable:
            found = None  # the order is there all the same
        return found or Report(
            client_id=ticket.client_id, venue_id=venue_id, status=OrderStatus.ACCEPTED, filled=Decimal(0)
        )

    def cancel(self, client_id: str, venue_id: str) -> Report:
        """Ask for an order to be taken back and return how it stands."""
        known = venue_id or self._known(client_id).venue_id
        body = {"order_ids": [known]}
        answer: words.Cancelled = self._ask(
            lambda line: line.change("POST", f"{BASE}/orders/batch_cancel", body, kind=words.Cancelled)
        )
        result = next((each for each in answer.results if each.order_id == known), None)
        report = self._standing(known)
        settled = report.status in (*ENDED_ORDERS, OrderStatus.CANCELLING)
        if result is not None and not result.success and not settled:
            raise BrokerRefused(f"the venue does not take the order back: {result.failure_reason}")
        return report

    def amend(self, client_id: str, venue_id: str, ticket: Ticket) -> Report:
        """Change price and whole quantity of a limit order good till cancelled, and return how it stands."""
        known = venue_id or self._known(client_id).venue_id
        body = {"order_id": known, "size": numbers.plain(ticket.quantity)}
        if ticket.limit_price is not None:
            body["price"] = numbers.plain(ticket.limit_price)
        if ticket.stop_price is not None:
            body["stop_price"] = numbers.plain(ticket.stop_price)
        answer: words.Edited = self._ask(
            lambda line: line.change("POST", f"{BASE}/orders/edit", body, kind=words.Edited)
        )
        if not answer.success:
            reasons = ", ".join(each.edit_failure_reason or each.preview_failure_reason for each in answer.errors)
            raise BrokerRefused(f"the venue does not change the order: {reasons or 'no reason given'}")
        return self._standing(known)

    def find(self, client_id: str, venue_id: str = "") -> Report | None:
        """Return how an order stands with its fills, None when the venue shows none."""
        if venue_id:
            return self._by_venue_id(venue_id)
        since = self.clock() - LOOK_BACK
        query = (("start_date", _iso(since)), ("limit", PAGE))
        told = next((each for each in self._orders(query) if each.client_order_id == client_id), None)
        return None if told is None else self._with_fills(told)

    def working(self) -> list[Report]:
        """Return every order that works at the venue; those not at the market yet are a question of their own."""
        found = [*self._orders((("order_status", "OPEN"), ("limit", PAGE)))]
        found += self._orders((*_NOT_WORKING_YET, ("limit", PAGE)))
        return [_read(words.report, told) for told in {each.order_id: each for each in found}.values()]

    def executions(self, since: datetime) -> list[tuple[str, Execution]]:
        """Return all fills since an instant, oldest first, each with the venue id of its order."""
        found = self._fills((("start_sequence_timestamp", _iso(since)), ("limit", PAGE)))
        return [(done.order_id, _read(words.execution, done)) for done in reversed(found)]

    # The account

    def positions(self) -> list[Holding] | None:
        """Return None: this is a spot venue."""
        return None

    def balances(self) -> list[Holding]:
        """Return amounts per currency, what orders keep included."""
        found = [_read(_holding, wallet) for wallet in self._wallets()]
        return [each for each in found if each.quantity or each.available]

    def clock(self) -> datetime:
        """Return the venue's time."""
        answer: words.Time = self._line().read(f"{BASE}/time", kind=words.Time)
        return answer.iso

    def rights(self) -> Rights:
        """Return what the key may do there."""
        answer: words.Permissions = self._ask(lambda line: line.read(f"{BASE}/key_permissions", kind=words.Permissions))
        return Rights(trade=answer.can_trade, withdraw=answer.can_transfer)

    # Inside

    def _line(self) -> Line:
        if self._open is None:
            address = self.access.address or ADDRESS
            self._signer = Signer(self.access.key, self.access.secret, address.rstrip("/").partition("://")[2])
            self._open = Line(address, self.access.key, self._signer.headers, limits_of(self.access))
        return self._open

    def _ask(self, question: Callable[[Line], T]) -> T:
        """Ask once, and once more when our clock was why the key was denied: a denied request did nothing."""
        line = self._line()
        try:
            return question(line)
        except Denied:
            if not self._set_clock():
                raise
        return question(line)

    def _set_clock(self) -> bool:
        """Take over the venue's clock for our tokens; says whether it was another than we believed."""
        venue = self.clock().timestamp()
        return self._signer is not None and self._signer.set_clock(venue)

    def _by_venue_id(self, venue_id: str) -> Report | None:
        try:
            answer: words.One = self._ask(
                lambda line: line.read(f"{BASE}/orders/historical/{venue_id}", kind=words.One)
            )
        except NotFound:
            return None
        return self._with_fills(answer.order)

    def _with_fills(self, told: words.Told) -> Report:
        fills = () if told.filled_size in ("", "0") else self._fills((("order_ids", told.order_id), ("limit", PAGE)))
        return _read(words.report, told, tuple(_read(words.execution, done) for done in reversed(fills)))

    def _known(self, client_id: str) -> Report:
        found = self.find(client_id)
        if found is None:
            raise BrokerRefused(f"the venue has no order {client_id}")
        return found

    def _standing(self, venue_id: str) -> Report:
        """Return how an order stands that we have just asked to change. Raises BrokerUnclear when nobody tells."""
        try:
            found = self._by_venue_id(venue_id)
        except BrokerBusy as busy:
            raise BrokerUnclear(str(busy)) from None
        if found is None:
            raise BrokerUnclear(f"the venue does not show order {venue_id} at the moment")
        return found

    def _orders(self, query: Query) -> Iterator[words.Told]:
        cursor = ""
        while True:
            page: words.Orders = self._page("orders/historical/batch", query, cursor, words.Orders)
            yield from page.orders
            if not page.has_next or page.cursor in ("", cursor):
                return
            cursor = page.cursor

    def _fills(self, query: Query) -> list[words.Done]:
        """All pages, newest first, each fill once however often it is listed."""
        found: dict[str, words.Done] = {}
        cursor = ""
        while True:
            page: words.Fills = self._page("orders/historical/fills", query, cursor, words.Fills)
            found |= {done.entry_id: done for done in page.fills if done.trade_type == "FILL"}
            if not page.fills or page.cursor in ("", cursor):
                return list(found.values())
            cursor = page.cursor

    def _wallets(self) -> Iterator[words.Wallet]:
        cursor = ""
        while True:
            page: words.Wallets = self._page("accounts", (("limit", PAGE),), cursor, words.Wallets)
            yield from page.accounts
            if not page.has_next or page.cursor in ("", cursor):
                return
            cursor = page.cursor

    def _page(self, resource: str, query: Query, cursor: str, kind: type[T]) -> T:
        asked = (*query, ("cursor", cursor)) if cursor else query
        found: T = self._ask(lambda line: line.read(f"{BASE}/{resource}", asked, kind=kind))
        return found


def _refusal(answer: words.Placed) -> Unavailable:
    failure = answer.error_response or words.Failure()
    said = (failure.new_order_failure_reason, failure.error, failure.preview_failure_reason)
    reasons = [word for word in dict.fromkeys(said) if word and not word.startswith("UNKNOWN_")]
    sentence = " ".join(filter(None, (", ".join(reasons), failure.message or failure.error_details)))
    if not reasons:  # the venue itself does not know why, so perhaps neither whether
        return BrokerUnclear(f"the venue gives no reason: {sentence or 'nothing'}")
    return BrokerRefused(f"the venue refuses the order: {sentence}")


def _holding(wallet: words.Wallet) -> Holding:
    free = words.amount(wallet.available_balance.value)
    return Holding(asset=wallet.currency, quantity=free + words.amount(wallet.hold.value), available=free)


def _read(reader: Callable[..., T], *told: object) -> T:
    """Read a part of an answer to a question; what cannot be is asked again later."""
    try:
        return reader(*told)
    except words.Unreadable as unreadable:
        raise BrokerBusy(f"the venue's answer cannot be: {unreadable}") from None


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
