"""Alpaca: US equities and crypto by REST, one key per account; its paper trading is the same at another address.

Reference: https://docs.alpaca.markets/reference. An order is found by our client id, a second one with the same id is
refused. Orders are not changed in place: a replacement keeps the whole quantity although a part was filled in the
meantime (alpacahq/Alpaca-API #165), so that more would be filled than anybody wanted.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar, TypeVar
from urllib.parse import quote

from apps.domain.orders import Execution, OrderKind, Report, Ticket, TimeInForce
from apps.domain.states import ENDED_ORDERS, OrderStatus
from apps.trading.brokers import alpaca_orders as words
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
from apps.trading.brokers.http import Limits, Line, NotFound, Query, limits_of

ADDRESS = "https://api.alpaca.markets"
PAPER_ADDRESS = "https://paper-api.alpaca.markets"
PAGE = 100
ORDERS_PAGE = 500
LIMITS = Limits(per_second=3.0, burst=30.0)  # 200 requests a minute
_MARGIN = timedelta(seconds=2)  # between the clocks of orders and fills
_TAKEN = "client_order_id must be unique"

T = TypeVar("T")


class Alpaca(Broker):
    """One Alpaca account. Fractions of a share are for market and limit orders of the day; the venue says so."""

    name: ClassVar[str] = "alpaca"
    sandboxes: ClassVar[tuple[str, ...]] = (PAPER_ADDRESS,)
    abilities: ClassVar[Abilities] = Abilities(
        kinds=frozenset(OrderKind),
        tifs=frozenset({TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK}),
        protects=True,
        shorts=True,
    )

    def __init__(self, access: Access, account_id: int) -> None:
        super().__init__(access, account_id)
        self._line = Line(access.address or ADDRESS, access.key, self._sign, limits_of(access, LIMITS))

    def close(self) -> None:
        """Let go of connections."""
        self._line.close()

    # Orders

    def place(self, ticket: Ticket) -> Report:
        """Send an order and return how it stands; a client id the venue knows returns the order it knows."""
        try:
            told: words.Told = self._line.change("POST", "/v2/orders", words.body(ticket), kind=words.Told)
        except BrokerRefused as refused:
            known = self._known_after(refused, ticket.client_id)
            if known is None:
                raise
            return known
        return self._changed(lambda: self._with_fills(told), told)

    def cancel(self, client_id: str, venue_id: str) -> Report:
        """Ask for an order to be taken back and return how it stands."""
        known = venue_id or self._one(client_id).venue_id
        refusal: BrokerRefused | None = None
        try:
            self._line.change("DELETE", f"/v2/orders/{quote(known, safe='')}")
        except NotFound:
            raise
        except BrokerRefused as refused:
            refusal = refused  # too late, or asked for before: the order itself says which
        report = self._standing(known)
        if refusal is not None and report.status not in (*ENDED_ORDERS, OrderStatus.CANCELLING):
            raise refusal
        return report

    def find(self, client_id: str, venue_id: str = "") -> Report | None:
        """Return how an order stands with its fills, None when the venue has never had it."""
        try:
            if venue_id:
                told: words.Told = self._line.read(f"/v2/orders/{quote(venue_id, safe='')}", kind=words.Told)
            else:
                query = (("client_order_id", client_id),)
                told = self._line.read("/v2/orders:by_client_order_id", query, kind=words.Told)
        except NotFound:
            return None
        return self._with_fills(told)

    def working(self) -> list[Report]:
        """Return every order that works at the venue, also those that are not ours."""
        found: dict[str, words.Told] = {}
        since: tuple[tuple[str, str], ...] = ()
        while True:
            query = (("status", "open"), ("limit", str(ORDERS_PAGE)), ("direction", "asc"), *since)
            page: list[words.Told] = self._line.read("/v2/orders", query, kind=list[words.Told])
            new = {told.id: told for told in page if told.id not in found}
            found |= new
            if len(page) < ORDERS_PAGE or not new:
                return [_read(words.report, told) for told in found.values()]
            # The next page starts a moment earlier than this one ended: two orders may share an instant.
            last = page[-1].submitted_at or page[-1].created_at
            since = (("after", _iso(last - timedelta(milliseconds=1))),)

    def executions(self, since: datetime) -> list[tuple[str, Execution]]:
        """Return all fills since an instant, oldest first, each with the venue id of its order."""
        fills = self._fills((("after", _iso(since - timedelta(milliseconds=1))),))
        return [(done.order_id, _read(words.execution, done)) for done in fills if done.transaction_time >= since]

    # The account

    def positions(self) -> list[Holding]:
        """Return net holdings per instrument."""
        held: list[words.Held] = self._line.read("/v2/positions", kind=list[words.Held])
        return [_read(words.holding, one) for one in held]

    def balances(self) -> list[Holding]:
        """Return the cash."""
        told = self._account()
        cash = _read(words.amount, told.cash)
        return [Holding(asset=told.currency, quantity=cash)]

    def clock(self) -> datetime:
        """Return the venue's time."""
        told: words.Clock = self._line.read("/v2/clock", kind=words.Clock)
        return told.timestamp.astimezone(UTC)

    def rights(self) -> Rights:
        """Return whether the account may trade; the venue does not tell what a key may withdraw."""
        told = self._account()
        blocked = told.trading_blocked or told.account_blocked or told.trade_suspended_by_user
        return Rights(trade=told.status == "ACTIVE" and not blocked, withdraw=None)

    # Inside

    def _sign(self, method: str, target: str, content: bytes) -> Mapping[str, str]:
        del method, target, content  # the key itself is sent, over TLS
        return {"APCA-API-KEY-ID": self.access.key, "APCA-API-SECRET-KEY": self.access.secret}

    def _account(self) -> words.AccountTold:
        told: words.AccountTold = self._line.read("/v2/account", kind=words.AccountTold)
        return told

    def _known_after(self, refused: BrokerRefused, client_id: str) -> Report | None:
        """Return the order that has our client id already, None when the refusal had another reason."""
        if _TAKEN not in str(refused):
            return None
        return self._changed(lambda: self.find(client_id), None)

    def _changed(self, look: Callable[[], Report | None], told: words.Told | None) -> Report:
        """Return what a look says after a change; one that fails leaves what the venue said first, or nothing clear."""
        try:
            report = look()
        except (BrokerBusy, BrokerRefused) as error:
            if told is None:
                raise BrokerUnclear(str(error)) from None
            report = None
        if report is None and told is not None:
            return _placed(told)
        if report is None:
            raise BrokerUnclear("the venue knows the client id and does not show its order")
        return report

    def _one(self, client_id: str) -> Report:
        found = self.find(client_id)
        if found is None:
            raise BrokerRefused(f"the venue has no order {client_id}")
        return found

    def _standing(self, venue_id: str) -> Report:
        """Return how an order stands that we have just asked to change. Raises BrokerUnclear when nobody tells."""
        return self._changed(lambda: self.find("", venue_id), None)

    def _with_fills(self, told: words.Told) -> Report:
        """Return an order with its fills: those of the account in its time that name it."""
        if not _read(words.amount, told.filled_qty):
            return _read(words.report, told)
        span = [("after", _iso((told.submitted_at or told.created_at) - _MARGIN))]
        if told.filled_at is not None:
            span.append(("until", _iso(told.filled_at + _MARGIN)))
        fills = [done for done in self._fills(span) if done.order_id == told.id]
        return _read(words.report, told, tuple(_read(words.execution, done) for done in fills))

    def _fills(self, query: Query) -> Iterator[words.Done]:
        """Yield the account's fills, oldest first, each once however often it is listed."""
        seen: set[str] = set()
        token: tuple[tuple[str, str], ...] = ()
        while True:
            asked = (*query, ("direction", "asc"), ("page_size", str(PAGE)), *token)
            page: list[words.Done] = self._line.read("/v2/account/activities/FILL", asked, kind=list[words.Done])
            new = [done for done in page if done.id not in seen]
            seen |= {done.id for done in new}
            yield from {done.id: done for done in new}.values()
            if len(page) < PAGE or not new:
                return
            token = (("page_token", page[-1].id),)


def _placed(told: words.Told) -> Report:
    """Read the answer to an order; one that cannot be read leaves open how the order stands."""
    try:
        return words.report(told)
    except words.Unreadable as unreadable:
        raise BrokerUnclear(f"the venue's answer cannot be: {unreadable}") from None


def _read(reader: Callable[..., T], *told: object) -> T:
    """Read a part of an answer to a question; what cannot be is asked again later."""
    try:
        return reader(*told)
    except words.Unreadable as unreadable:
        raise BrokerBusy(f"the venue's answer cannot be: {unreadable}") from None


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
