"""The site as a real server, with a small world committed to its database."""

import os
from collections.abc import Iterator

import pytest
from django.db import connection

from apps.access import roles
from apps.access.models import Scope, User
from apps.market.store import Store
from tests.gateway.clients import serving
from tests.web.conftest import Caller, caller_for, make_account, make_instrument, make_user


@pytest.fixture(scope="package")
def site(django_db_setup: None) -> Iterator[str]:
    """The address of the site under uvicorn, without limits on requests."""
    database = f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{connection.settings_dict['NAME']}"
    limits = {f"API_{name}_PER_MINUTE": "0" for name in ("READS", "TRADES", "PERSON", "REFUSED")}
    with serving({"DATABASE_URL": database, "MARKET_DATABASE_URL": database, **limits}) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def owner(transactional_db: None, tick_store: Store) -> Caller:
    """A superuser with an account and a token for everything."""
    roles.set_all(roles.APPS)
    make_instrument()
    caller = caller_for(make_user("owner", is_staff=True, is_superuser=True), Scope.ADMIN)
    make_account(caller.user)
    return caller


@pytest.fixture
def viewer(owner: Caller) -> Caller:
    """A person who only looks, with a token for everything."""
    user: User = make_user("vera", roles.VIEWER)
    make_account(user)
    return caller_for(user, Scope.ADMIN)
