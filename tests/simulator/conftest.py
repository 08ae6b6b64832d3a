"""A simulated exchange that trades when told, and a client of it that sees every byte."""

import pytest

from apps.simulator.exchange import SimExchange
from tests.simulator.wireclient import WireClient


@pytest.fixture
def exchange():
    with SimExchange(products="BTC-USD,ETH-USD", rate=None) as running:
        yield running


@pytest.fixture
def client(exchange):
    with WireClient(exchange.port) as connected:
        connected.listen("ticker")
        yield connected
