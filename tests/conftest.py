"""What tests of every app may start from."""

from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection
from pytest_django import DjangoDbBlocker, Settings

from apps.market import store
from apps.market.models import Instrument
from apps.market.selectors import market_store
from apps.trading.models import Account, Position
from tests import emptying, factories
from tests.flow.sites import cluster, make_world, world

__all__ = ["account", "cluster", "instrument", "make_world", "open_position", "tick_store", "world"]

emptying.install()
settings.PASSWORD_HASHERS = ["tests.hashing.OnceHasher"]


@pytest.fixture
def instrument(db: None) -> Instrument:
    """BTC-USD at 100, on a grid of 0.01 and 0.0001."""
    return factories.make_instrument()


@pytest.fixture
def account(db: None) -> Account:
    """A paper account with a million that trades for nothing."""
    return factories.make_account()


@pytest.fixture
def open_position(account: Account, instrument: Instrument) -> Callable[..., Position]:
    """Open a position on the account: `open_position(leg, ..., side="short", quantity="2")`."""
    return lambda *legs, **more: factories.opened(account, instrument, *legs, **more)


def database_url() -> str:
    """Return the address of the database that the tests are in."""
    named = connection.settings_dict
    who = f"{quote(named['USER'])}:{quote(named['PASSWORD'])}" if named["USER"] else ""
    return f"postgres://{who}@{named['HOST']}:{named['PORT']}/{named['NAME']}"


@pytest.fixture(scope="session")
def _migrated_store(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    with django_db_blocker.unblock():
        url = database_url()
    store.migrate(url)
    yield url
    _forget_store()


def _forget_store() -> None:
    """Let go of the site's own store, which a page may have opened at another address."""
    if market_store.cache_info().currsize:
        market_store().close()
        market_store.cache_clear()


@pytest.fixture
def tick_store(_migrated_store: str, settings: Settings) -> Iterator[store.Store]:
    """The market store's tables inside the test database, empty afterwards; for tests that commit."""
    settings.DATABASE_URL = settings.MARKET_DATABASE_URL = _migrated_store
    _forget_store()
    opened = store.connect(_migrated_store)
    yield opened
    with opened.engine.begin() as link:
        link.exec_driver_sql("TRUNCATE market.ticks")
    opened.close()
