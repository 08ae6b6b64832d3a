"""When the database is away for real the page for it is shown, without the database, and goes when it is back."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.db.utils import OperationalError
from django.test import Client

from tests.access.conftest import Person, text_of
from tests.servers import PrivateServers

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., Person]


@contextlib.contextmanager
def refused_port() -> Iterator[int]:
    """A port at which nobody answers, and that nobody else takes meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextlib.contextmanager
def database_at(port: int) -> Iterator[None]:
    """Send this thread's connection to another port."""
    before = connection.settings_dict["PORT"]
    connection.close()
    connection.settings_dict["PORT"] = port
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["PORT"] = before


@pytest.fixture
def clerk(person: Make) -> Person:
    """A superuser whose browser gets the page and not the exception."""
    made = person("clerk", superuser=True, signed_in=True)
    made.browser.raise_request_exception = False
    return made


@pytest.mark.parametrize("signed_in", [True, False], ids=["in the session", "in the view"])
def test_when_nobody_answers_at_the_database_the_page_says_so_and_asks_again(clerk: Person, signed_in: bool) -> None:
    browser = clerk.browser if signed_in else Client(raise_request_exception=False)
    address = "/admin/" if signed_in else "/account/login/"
    with refused_port() as port, database_at(port):
        answer = browser.get(address) if signed_in else browser.post(address, {"username": "a", "password": "b"})
        with pytest.raises(OperationalError):
            connection.ensure_connection()
    assert answer.status_code == 503
    page = text_of(answer)
    assert "The database does not answer" in page
    assert answer["Retry-After"] == "5"
    assert ('http-equiv="refresh"' in page) is signed_in, "a form that was sent is not sent again by itself"


def test_for_programs_the_absence_of_the_database_is_a_problem_to_retry(clerk: Person) -> None:
    with refused_port() as port, database_at(port):
        answer = clerk.get("/api/v1/positions")
    assert answer.status_code == 503
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["Retry-After"] == "5"


@pytest.mark.faults
def test_a_database_that_is_stopped_and_started_again(
    private_servers: Callable[[], PrivateServers], clerk: Person
) -> None:
    servers = private_servers()
    port = urlsplit(servers.database_url).port
    assert port
    servers.stop_postgres("immediate")
    with database_at(port):
        assert clerk.get("/admin/").status_code == 503
    assert clerk.get("/admin/").status_code == 200
