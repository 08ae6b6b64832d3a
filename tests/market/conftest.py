"""What tests of the market app share."""

from collections.abc import Iterator

import pytest

from apps.market import selectors, store


@pytest.fixture
def market(transactional_db: None, tick_store: store.Store) -> Iterator[store.Store]:
    """The market store of the services under test, empty before and after."""
    selectors.market_store.cache_clear()
    yield tick_store
    with tick_store.engine.begin() as link:
        link.exec_driver_sql("TRUNCATE market.candles")
    selectors.market_store().close()
    selectors.market_store.cache_clear()
