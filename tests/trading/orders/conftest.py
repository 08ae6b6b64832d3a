"""What tests of orders start from."""

import pytest
from pytest_django import Settings

from apps.trading.models import Account
from tests.trading.orders import venue


@pytest.fixture
def account(db: None) -> Account:
    """An account at a broker that takes orders, with a million."""
    return venue.make_account()


@pytest.fixture(autouse=True)
def _no_ticks(settings: Settings) -> None:
    """Keep the tick store out of the invariants: its tables are not there in a test that commits nothing."""
    settings.MARKET_DATABASE_URL = "postgres://elsewhere"
