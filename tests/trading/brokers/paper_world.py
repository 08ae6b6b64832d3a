"""A paper venue with a clock and prints of a test's own."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.domain.orders import OrderKind, Report, Ticket, TimeInForce
from apps.market.models import Instrument
from apps.market.store import Store, partitions, ticks
from apps.market.store.ticks import TickRow
from apps.trading.brokers.base import Access
from apps.trading.brokers.paper import PaperBroker
from apps.trading.models import Account
from tests import factories

T = datetime(2026, 1, 5, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = T

    def __call__(self) -> datetime:
        return self.now

    def to(self, seconds: float) -> datetime:
        """Move to so many seconds after the start."""
        self.now = at(seconds)
        return self.now


class World:
    """One account and one instrument at the venue, at 100 with a spread of two."""

    def __init__(self, account: Account, instrument: Instrument, store: Store) -> None:
        self.account = account
        self.instrument = instrument
        self.store = store
        self.clock = Clock()
        self.broker = PaperBroker(Access(address=""), account.pk, now=self.clock)
        partitions.ensure(store, partitions.TICKS, at(-86_400), at(86_400))
        self.quote(0, "100", "99", "101")

    def options(self, **values: Any) -> None:
        """Choose the options of the account."""
        self.account.broker_options = values
        self.account.save()

    def quote(
        self, seconds: float, price: str, bid: str | None = None, ask: str | None = None, number: int = 1
    ) -> None:
        """Let the quote in force be this one since an instant."""
        factories.set_quote(self.instrument, price, bid=bid, ask=ask, at=at(seconds), trade_id=number)

    def traded(self, *prints: tuple[float, str], late: float = 0, refilled: bool = False) -> None:
        """Store prints: seconds and price of each; they arrived `late` seconds after they were traded."""
        rows: Iterable[TickRow] = [
            TickRow(
                self.instrument.pk,
                at(seconds),
                int((seconds + 1_000) * 1000),
                at(seconds + late),
                Decimal(price),
                Decimal(1),
                "buy",
                None,
                None,
                refilled,
            )
            for seconds, price in prints
        ]
        ticks.write(self.store, list(rows))

    def ticket(self, client_id: str = "e1-1", kind: str = "market", **more: Any) -> Ticket:
        """Make a ticket for 1 to buy, good till cancelled."""
        prices = {name: Decimal(more.pop(name)) for name in ("limit_price", "stop_price") if name in more}
        return Ticket(
            client_id=client_id,
            symbol=more.pop("symbol", self.instrument.symbol),
            buy=more.pop("buy", True),
            kind=OrderKind(kind),
            quantity=Decimal(more.pop("quantity", "1")),
            tif=TimeInForce(more.pop("tif", "gtc")),
            **prices,
            **more,
        )

    def place(self, *arguments: Any, **more: Any) -> Report:
        return self.broker.place(self.ticket(*arguments, **more))

    def found(self, client_id: str = "e1-1") -> Report:
        """Ask the venue how an order stands."""
        report = self.broker.find(client_id)
        assert report is not None
        return report


def fills(report: Report) -> list[tuple[str, str, float]]:
    """Quantity, price and seconds of each fill."""
    return [
        (f"{one.quantity.normalize():f}", f"{one.price.normalize():f}", (one.at - T).total_seconds())
        for one in report.executions
    ]
