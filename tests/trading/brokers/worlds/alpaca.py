"""Alpaca on the simulated exchange."""

from contextlib import AbstractContextManager
from dataclasses import replace

from apps.trading.brokers.alpaca import Alpaca
from apps.trading.brokers.base import Access, Broker
from tests.trading.brokers import contract


class AlpacaWorld(contract.SimulatedWorld):
    """An account whose key and secret go with each request; its fees are not told with the fills."""

    def make(self, access: Access) -> Broker:
        return Alpaca(replace(access, secret=self.account["secret"]), account_id=1)


def opened() -> AbstractContextManager[contract.World]:
    return contract.simulated(AlpacaWorld, maker="0", taker="0")
