"""A market store of its own for every test that asks, on the server the session was given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import make_url

from apps.market import store
from tests.market.store.databases import database


@pytest.fixture
def empty_url() -> Iterator[str]:
    with database() as url:
        yield url


@pytest.fixture(scope="session")
def migrated_template() -> Iterator[str]:
    with database() as url:
        store.migrate(url)
        yield make_url(url).database


@pytest.fixture
def market_url(migrated_template: str) -> Iterator[str]:
    with database(migrated_template) as url:
        yield url


@pytest.fixture
def market(market_url: str) -> Iterator[store.Store]:
    opened = store.connect(market_url)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def module_market(migrated_template: str) -> Iterator[store.Store]:
    with database(migrated_template) as url:
        opened = store.connect(url)
        yield opened
        opened.close()
