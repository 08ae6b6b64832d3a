"""The built-in paper venue: a broker whose orders fill from the live prices, with the moods its options give it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from django.db import InterfaceError, OperationalError, connection

from apps.domain import numbers
from apps.domain.errors import Refused
from apps.domain.orders import Execution, OrderKind, Report, Ticket, TimeInForce
from apps.domain.states import ENDED_ORDERS, OrderStatus
from apps.market import calendars
from apps.market.models import Instrument
from apps.trading.brokers import paper_book, paper_money
from apps.trading.brokers.base import Abilities, Access, Broker, BrokerRefused, BrokerUnclear, Holding, Rights
from apps.trading.brokers.paper_options import PaperOptions
from apps.trading.models import Account, PaperOrder

_TRIES = 5  # of a change that another process was faster with
_FORTNIGHT = timedelta(days=14)


def database_now() -> datetime:
    """Return the clock of the venue: the database's, the one all processes share."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        at: datetime = cursor.fetchone()[0]
    return at.astimezone(UTC)


class PaperBroker(Broker):
    """An account at the paper venue. Its book is in the database, so it outlives every process."""

    name = "paper"
    abilities: ClassVar[Abilities] = Abilities(
        kinds=frozenset(OrderKind), tifs=frozenset(TimeInForce), amends=True, shorts=True
    )
    options = PaperOptions

    def __init__(self, access: Access, account_id: int, *, now: Callable[[], datetime] = database_now) -> None:
        """`now` is the venue's clock; a replay gives its own."""
        super().__init__(access, account_id)
        self._now = now

    def place(self, ticket: Ticket) -> Report:
        """Take an order into the book, or refuse it, and look at once whether it fills."""
        with _translated():
            row = self._row(ticket.client_id) or self._new(ticket)
            return self._looked(row)

    def cancel(self, client_id: str, venue_id: str) -> Report:
        """Take an order back, with what was filled until now; one that has ended stays as it is."""
        with _translated():
            for _ in range(_TRIES):
                row = self._known(client_id, venue_id)
                found = self._looked(row)
                if found.status in ENDED_ORDERS:
                    return found
                paper_book.write(row, status=OrderStatus.CANCELLED, why="taken back")
            return self._report(client_id, venue_id)

    def amend(self, client_id: str, venue_id: str, ticket: Ticket) -> Report:
        """Change price and quantity of a working order; it acts anew after its latency."""
        with _translated():
            for _ in range(_TRIES):
                row = self._known(client_id, venue_id)
                if self._looked(row).status in ENDED_ORDERS:
                    raise BrokerRefused(f"{client_id} has ended and cannot be changed")
                if self._amended(row, ticket):
                    break
            return self._report(client_id, venue_id)

    def find(self, client_id: str, venue_id: str = "") -> Report | None:
        """Look at the prices and return how an order stands; None when the book has never had it."""
        with _translated():
            row = self._row(client_id, venue_id)
            return None if row is None else self._looked(row)

    def working(self) -> list[Report]:
        """Look at the prices and return every order of the account that still works."""
        with _translated():
            live = self._rows().exclude(status__in=ENDED_ORDERS)
            paper_book.look(list(live), self._now(), self._options)
            return [paper_book.report(row) for row in live.all()]

    def executions(self, since: datetime) -> list[tuple[str, Execution]]:
        """Return the fills that were made or written down since an instant, oldest first."""
        with _translated():
            rows = self._rows().filter(filled_at__gte=since)
            found = [(row.client_id, execution) for row in rows for execution in paper_book.executions(row)]
            return sorted(found, key=lambda pair: pair[1].at)

    def positions(self) -> list[Holding]:
        """Return net holdings per instrument: what its orders did, and what was filled without one."""
        with _translated():
            return paper_money.positions(self.account_id)

    def balances(self) -> list[Holding]:
        """Return the cash per currency."""
        with _translated():
            return paper_money.balances(self.account_id)

    def clock(self) -> datetime:
        """Return the venue's time."""
        with _translated():
            return self._now()

    def rights(self) -> Rights:
        """Return that it may trade; there is nothing to withdraw."""
        return Rights(trade=True, withdraw=False)

    def _rows(self) -> "paper_money.Rows":
        return PaperOrder.objects.filter(account_id=self.account_id).select_related("account").order_by("id")

    def _row(self, client_id: str, venue_id: str = "") -> PaperOrder | None:
        number = venue_id.removeprefix("paper-")
        if not client_id and number.isdecimal():
            return self._rows().filter(pk=int(number)).first()
        return self._rows().filter(client_id=client_id).first()

    def _known(self, client_id: str, venue_id: str) -> PaperOrder:
        row = self._row(client_id, venue_id)
        if row is None:
            raise BrokerRefused(f"the paper venue has no order {client_id or venue_id}")
        return row

    def _looked(self, row: PaperOrder) -> Report:
        """Look at the prices and return how an order stands; the row is what the book holds afterwards."""
        paper_book.look([row], self._now(), self._options)
        row.refresh_from_db()  # also when nothing was done here: another process may have been first
        return paper_book.report(row)

    def _report(self, client_id: str, venue_id: str) -> Report:
        return paper_book.report(self._known(client_id, venue_id))

    def _options(self, row: PaperOrder) -> PaperOptions:
        given = self.access.options
        return paper_book.of_account(row) if given is None else PaperOptions.of(given)

    def _new(self, ticket: Ticket) -> PaperOrder:
        now = self._now()
        account = Account.objects.get(pk=self.account_id)
        options = PaperOptions.of(self.access.options if self.access.options is not None else account.broker_options)
        if options.rejects(ticket.client_id):
            raise BrokerRefused("the paper venue refuses some orders, as its options say")
        instrument = _listed(ticket)
        acts_at = now + options.latency(ticket.client_id)
        values = {
            "account": account,
            "symbol": ticket.symbol,
            "buy": ticket.buy,
            "kind": ticket.kind,
            "tif": ticket.tif,
            "quantity": ticket.quantity,
            "limit_price": ticket.limit_price,
            "stop_price": ticket.stop_price,
            "status": OrderStatus.ACCEPTED,
            "placed_at": now,
            "acts_at": acts_at,
            "expires_at": _expiry(ticket, instrument, now),
            "looked_at": acts_at,
        }
        row, is_new = PaperOrder.objects.get_or_create(client_id=ticket.client_id, defaults=values)
        if not is_new and row.account_id != self.account_id:
            raise BrokerRefused(f"another account has used the client id {ticket.client_id}")
        return row

    def _amended(self, row: PaperOrder, ticket: Ticket) -> bool:
        _listed(ticket)
        if ticket.quantity <= row.filled:
            raise BrokerRefused(f"{numbers.plain(row.filled)} of {row.client_id} are filled already")
        acts_at = self._now() + self._options(row).latency(row.client_id)
        return paper_book.write(
            row,
            quantity=ticket.quantity,
            limit_price=ticket.limit_price,
            stop_price=ticket.stop_price,
            acts_at=acts_at,
            looked_at=acts_at,
            rests_at=None,
        )


def _listed(ticket: Ticket) -> Instrument:
    """Return the instrument of a ticket, or refuse the ticket with every rule it breaks."""
    instrument = Instrument.objects.filter(symbol=ticket.symbol).first()
    if instrument is None:
        raise BrokerRefused(f"the paper venue lists no {ticket.symbol}")
    wrong = list(_wrong(ticket, instrument))
    if wrong:
        raise BrokerRefused("; ".join(wrong))
    return instrument


def _wrong(ticket: Ticket, instrument: Instrument) -> Iterator[str]:
    if not instrument.min_quantity <= ticket.quantity <= instrument.max_quantity:
        yield f"the quantity {numbers.plain(ticket.quantity)} is out of bounds"
    if not numbers.on_grid(ticket.quantity, instrument.lot_size):
        yield f"the quantity must be a multiple of {numbers.plain(instrument.lot_size)}"
    wanted = {"limit": OrderKind.LIMIT, "stop": OrderKind.STOP}
    given = {"limit": ticket.limit_price, "stop": ticket.stop_price}
    for word, kind in wanted.items():
        needs, price = ticket.kind in {kind, OrderKind.STOP_LIMIT}, given[word]
        if needs != (price is not None):
            yield f"a {ticket.kind} order has {'a' if needs else 'no'} {word} price"
        elif price is not None and (price <= 0 or not numbers.on_grid(price, instrument.tick_size)):
            yield f"the {word} price must be a positive multiple of {numbers.plain(instrument.tick_size)}"
    if (ticket.tif == TimeInForce.GTD) != (ticket.expires_at is not None):
        yield "an order that is good till a date, and no other, names the date"
    if ticket.reduce_only:
        yield "the paper venue knows no reduce-only orders"


def _expiry(ticket: Ticket, instrument: Instrument, now: datetime) -> datetime | None:
    """Return when an order ends by itself: a day order with the session it works in, or the next one."""
    if ticket.tif != TimeInForce.DAY:
        return ticket.expires_at
    try:
        sessions = calendars.sessions(instrument, now, now + _FORTNIGHT)
    except (calendars.NotCovered, ValueError) as error:
        raise BrokerRefused(f"nobody knows when the session of {instrument} ends: {error}") from error
    ends = [session.closes_at for session in sessions if session.closes_at > now]
    if not ends:
        raise BrokerRefused(f"{instrument} has no session within a fortnight")
    return ends[0]


@contextmanager
def _translated() -> Iterator[None]:
    """Say in a broker's words that the database is away or the options are wrong."""
    try:
        yield
    except Refused as error:
        raise BrokerRefused(str(error)) from error
    except (OperationalError, InterfaceError) as error:
        raise BrokerUnclear(f"the paper venue's book did not answer: {str(error).strip()[:200]}") from error
