"""No list asks more as its tables grow: every list of the API, the admin and the desk, found in the resolver."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from benchmarks import crowded, listed
from benchmarks.crowded import Crowd

MOST = 15  # queries of one page
FEW = crowded.Size(positions=10, accounts=3, open_every=2, minutes=3)
MANY = crowded.Size(positions=200, accounts=61, open_every=2, minutes=3)


def write(statements: Sequence[str], values: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement, values)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else what is to be checked keeps tables from being emptied


@pytest.fixture
def _site(db: None, settings: Settings, _migrated_store: str) -> None:
    settings.DATABASE_URL = settings.MARKET_DATABASE_URL = _migrated_store
    settings.SECOND_FACTOR = "off"
    with connection.cursor() as cursor:  # the first page loads the whole site, which is idle time to the server
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL transaction_timeout = 0")


def queries(crowd: Crowd, addresses: Iterable[str] = ()) -> Iterator[tuple[str, int]]:
    """Read every list as somebody who sees everything, and say how many statements each took."""
    client = Client()
    client.force_login(crowd.everything)
    for address in addresses or map(listed.address, listed.everything()):
        if not addresses and client.get(address).status_code == 405:  # and what is read once per process
            continue  # a door that only takes what is sent to it
        with CaptureQueriesContext(connection) as found:
            answer = client.get(address)
        assert answer.status_code == 200, f"{address} answers {answer.status_code}"
        yield address, len(found)


@pytest.mark.usefixtures("_site")
def test_no_list_asks_more_as_its_tables_grow() -> None:
    few = dict(queries(crowded.fill(FEW, write)))
    crowd = crowded.fill(MANY, write)
    many = dict(queries(crowd, few))
    assert len(few) > 70, "the lists are found"
    # Once a minute a page also writes down that the person was there: what asked more is asked again.
    more = [name for name, count in many.items() if count > few[name]]
    many |= dict(queries(crowd, more)) if more else {}
    grown = {name: f"{few[name]} -> {many[name]}" for name in more if many[name] > few[name]}
    assert grown == {}
    assert {name: count for name, count in many.items() if count > MOST} == {}
