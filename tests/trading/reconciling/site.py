"""A site with one account at the simulated exchange, over real sockets, and a person who trades there by hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.db import connection
from pytest_django import Settings

from apps.domain.orders import OrderKind, Report, Ticket, TimeInForce
from apps.market.models import Instrument
from apps.simulator.exchange import SimExchange
from apps.trading import keyfile
from apps.trading.brokers.base import Access, Broker
from apps.trading.brokers.coinbase_advanced import CoinbaseAdvanced
from apps.trading.models import Account, Discrepancy, Order, Standing
from apps.trading.services import keys, reconciling, sending
from apps.trading.services.adopting import Choice
from apps.trading.services.reconciling import Reconciled
from tests import factories

LATER = timedelta(seconds=4)  # than the first look; long enough to confirm
MONEY = "100000"


class Site:
    """The account here and there; `later` moves our clock, not the venue's."""

    def __init__(self, exchange: SimExchange, account: Account, instrument: Instrument, access: Access) -> None:
        self.exchange = exchange
        self.account = account
        self.instrument = instrument
        self.hand: Broker = CoinbaseAdvanced(access, account.pk)  # a person's own program, not ours
        self.ahead = timedelta(0)

    def clock(self) -> datetime:
        return factories.now() + self.ahead

    def look(self) -> Reconciled:
        return reconciling.reconcile(self.account.pk, clock=self.clock)

    def look_twice(self) -> Reconciled:
        """Look, and again when what differs must still differ."""
        self.look()
        self.ahead += LATER
        return self.look()

    def send(self) -> None:
        sending.send_due("test", 50, clock=self.clock)

    def by_hand(self, name: str, *, buy: bool = True, quantity: str = "1", price: str | None = None) -> Report:
        """Trade at the venue, past us: at the market, or at a limit."""
        ticket = Ticket(
            client_id=name,
            symbol="BTC-USD",
            buy=buy,
            kind=OrderKind.MARKET if price is None else OrderKind.LIMIT,
            quantity=Decimal(quantity),
            tif=TimeInForce.IOC if price is None else TimeInForce.GTC,
            limit_price=None if price is None else Decimal(price),
        )
        return self.hand.place(ticket)

    def trade(self, price: str) -> None:
        """Let the market trade there, and our quote follow."""
        self.exchange.push("BTC-USD", price)
        factories.set_quote(self.instrument, price)

    def rows(self) -> list[tuple[str, str, str]]:
        """Return the open differences as kind, subject and gap."""
        found = Discrepancy.objects.filter(account=self.account, resolution="open").order_by("kind", "subject")
        return [(row.kind, row.subject, row.gap) for row in found]

    def row(self, kind: str) -> Discrepancy:
        return Discrepancy.objects.get(account=self.account, resolution="open", kind=kind)

    @property
    def standing(self) -> Standing:
        return Standing.objects.get(pk=self.account.pk)

    def choice(self, **more: Any) -> Choice:
        return Choice(actor="root", reason="as the venue says", **more)


@contextmanager
def opened(settings: Settings, folder: Path, **account: Any) -> Iterator[Site]:
    """An exchange at 100 with an account of 100,000 on both sides."""
    settings.KEY_FILE = folder / "broker_keys"
    keyfile.create(settings.KEY_FILE)
    instrument = factories.make_instrument()
    with SimExchange(products="BTC-USD=100.00", rate=None) as exchange:
        there = exchange.open_account("mine", {"USD": MONEY, "BTC": "0"}, **account)
        exchange.push("BTC-USD", "100.00")
        secrets = keys.Secrets(key=there["key"], secret=there["pem"])
        here = factories.make_account(deposit=MONEY)
        wanted = keys.NewCredential(
            owner_id=here.owner_id,
            name="sim",
            broker="coinbase_advanced",
            secrets=secrets,
            address=exchange.rest_url,
        )
        credential = keys.store(wanted, now=factories.now()).credential
        options = {"read_timeout": 1.0, "requests_per_second": 1000.0}
        Account.objects.filter(pk=here.pk).update(
            instant=False, broker="coinbase_advanced", credential=credential, broker_options=options
        )
        access = Access(address=exchange.rest_url, key=there["key"], secret=there["pem"], options=options)
        site = Site(exchange, factories.fresh(here), instrument, access)
        try:
            yield site
        finally:
            site.hand.close()


def snapshot() -> dict[str, list[str]]:
    """Return every row of every table with the transaction that wrote it: a write that changes nothing shows."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('public', 'market') ORDER BY 1"
        )
        tables = [name for (name,) in cursor.fetchall()]
        found = {}
        for table in tables:
            cursor.execute(f"SELECT t.xmin::text || t.ctid::text || t::text FROM {table} t ORDER BY 1")
            found[table] = [row for (row,) in cursor.fetchall()]
    return found


def order_of(site: Site, **more: Any) -> Order:
    """Return the only order of the account."""
    return Order.objects.get(account=site.account, **more)
