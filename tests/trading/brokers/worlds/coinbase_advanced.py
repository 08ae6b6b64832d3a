"""Coinbase Advanced Trade on the simulated exchange."""

from contextlib import AbstractContextManager

from apps.trading.brokers.base import Access, Broker
from apps.trading.brokers.coinbase_advanced import CoinbaseAdvanced
from tests.trading.brokers import contract


class AdvancedWorld(contract.SimulatedWorld):
    """An account whose requests are signed with its own EC key."""

    def make(self, access: Access) -> Broker:
        return CoinbaseAdvanced(access, account_id=1)


def opened() -> AbstractContextManager[contract.World]:
    return contract.simulated(AdvancedWorld)
