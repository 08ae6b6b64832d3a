"""An exchange through ccxt: its Binance against the simulated exchange, by ccxt's own code over a real socket."""

from contextlib import AbstractContextManager
from dataclasses import replace

from apps.trading.brokers.base import Access, Broker
from apps.trading.brokers.ccxt_broker import CcxtBroker
from tests.trading.brokers import contract

DATABASE = "db"
OPTIONS = {"exchange": "binance", "symbols": ["BTC/USD"], "read_timeout": 0.4, "requests_per_second": 1000.0}


class CcxtWorld(contract.SimulatedWorld):
    """An account whose requests are signed with a shared secret."""

    symbol = "BTC/USD"

    def make(self, access: Access) -> Broker:
        return CcxtBroker(replace(access, secret=self.account["secret"], options=OPTIONS), account_id=1)

    def trade(self, price: str) -> None:
        self.exchange.push("BTC-USD", price)


def opened() -> AbstractContextManager[contract.World]:
    return contract.simulated(CcxtWorld)
