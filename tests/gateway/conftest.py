"""People with accounts and tokens, and the site they connect to."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import psycopg2
import pytest
from django.conf import settings
from django.db import connection

from apps.access import services as access
from apps.access.models import Scope, User
from apps.trading.services import accounts
from tests.gateway.clients import serving


@pytest.fixture(scope="package")
def database_url(_migrated_store: str) -> str:
    """The address of the test database, market store included, for other processes."""
    return f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{connection.settings_dict['NAME']}"


@pytest.fixture(scope="package")
def site(database_url: str) -> Iterator[int]:
    with serving({"DATABASE_URL": database_url}) as port:
        yield port


@pytest.fixture
def connect_to_database(database_url: str) -> Iterator[Callable[[], "psycopg2.extensions.connection"]]:
    """Open connections of a test's own, so that it decides when a transaction commits."""
    opened: list[psycopg2.extensions.connection] = []

    def make() -> psycopg2.extensions.connection:
        opened.append(psycopg2.connect(database_url))
        return opened[-1]

    yield make
    for raw in opened:
        raw.close()


@dataclass
class Person:
    user: User
    account_id: int
    token: str


@pytest.fixture
def person(transactional_db: None) -> Callable[..., Person]:
    """Make a user with a paper account and a token."""

    def make(name: str, **options: object) -> Person:
        user = User.objects.create_user(name, password="long-enough-4-a-test", **options)
        now = datetime.now(UTC)
        account = accounts.open_account(owner_id=user.pk, name="paper", deposit=Decimal(1000), now=now)
        made = access.create_token(user=user, scope=Scope.READ, now=now)
        return Person(user, account.pk, made.text)

    return make


@pytest.fixture
def ann(person: Callable[..., Person]) -> Person:
    return person("ann")


@pytest.fixture
def bob(person: Callable[..., Person]) -> Person:
    return person("bob")


@pytest.fixture
def root(person: Callable[..., Person]) -> Person:
    return person("root", is_superuser=True, is_staff=True)


@pytest.fixture
def redis_url() -> str:
    return settings.REDIS_URL
