"""The paper venue, which is in the database; its prices are the site's own quotes."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from django.test import override_settings

from apps.trading.brokers.base import Access, Broker
from apps.trading.brokers.paper import PaperBroker
from apps.trading.models import PaperOrder
from tests import factories
from tests.trading.brokers import contract
from tests.trading.brokers.contract import Fault

DATABASE = "db"
_OPTIONS: dict[Fault, dict[str, Any]] = {Fault.PARTIAL: {"pieces": 2}, Fault.REFUSED: {"reject_rate": 1.0}}


class PaperWorld(contract.World):
    """An account of the site; what this venue calls a fault is one of the account's options."""

    faults = frozenset(_OPTIONS)

    def __init__(self) -> None:
        self.instrument = factories.make_instrument(self.symbol, max_quantity=Decimal(1000))
        self.account = factories.make_account(deposit="100000", fee_rate="0.001")

    def broker(self) -> Broker:
        return PaperBroker(Access(address=""), self.account.pk)

    def trade(self, price: str) -> None:
        factories.set_quote(self.instrument, price, bid=price, ask=price, trade_id=self._next())

    def count(self, client_id: str) -> int:
        return PaperOrder.objects.filter(client_id=client_id).count()

    def fault(self, fault: Fault) -> None:
        self.account.broker_options = _OPTIONS[fault]
        self.account.save()

    def _next(self) -> int:
        self.trades = getattr(self, "trades", 0) + 1
        return self.trades


@contextmanager
def opened() -> Iterator[contract.World]:
    with override_settings(RECORD_TICKS=False):
        world = PaperWorld()
        world.trade("100.00")
        yield world
