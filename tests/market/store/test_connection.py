"""A store is named by any usual address, says when its server is away, and survives a fork."""

import os
import socket

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from apps.market import store
from apps.market.store import connection

BACKEND = text("SELECT pg_backend_pid()")


@pytest.mark.parametrize(
    "url", ["postgres://u:p@h/d", "postgresql://u:p@h/d", "postgresql+psycopg2://u:p@h/d", "pgsql://u:p@h/d"]
)
def test_any_spelling_of_postgresql_gets_the_installed_driver(url: str) -> None:
    assert connection.driver_url(url).drivername == "postgresql+psycopg2"


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite:///x.db", "redis://h:1/0", "://secret@h"])
def test_a_wrong_address_is_refused_at_once_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="market store") as refusal:
        store.connect(url)
    assert "secret" not in str(refusal.value)


def test_a_server_that_is_away_is_unavailable_not_a_bug() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"postgresql://u:p@127.0.0.1:{closed.getsockname()[1]}/d"
        for ask in (store.pending, store.migrate, lambda url: store.connect(url).transaction().__enter__()):
            with pytest.raises(store.StoreUnavailable):
                ask(url)


def test_a_cut_connection_is_replaced_on_the_next_use(market: store.Store) -> None:
    with market.transaction() as first:
        victim = first.scalar(BACKEND)
    other = store.connect(market.url)
    with other.transaction() as killer:
        killer.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": victim})
    other.close()
    with market.transaction() as again:
        assert again.scalar(BACKEND) != victim


def test_a_connection_cut_in_mid_transaction_is_unavailable(market: store.Store) -> None:
    suicide = text("SELECT pg_terminate_backend(pg_backend_pid(), 5000)")
    with pytest.raises(store.StoreUnavailable), market.transaction() as doomed:
        doomed.execute(suicide)


def test_a_forked_child_opens_its_own_connection_and_leaves_the_parents_alone(market: store.Store) -> None:
    with market.transaction() as mine:
        parent = mine.scalar(BACKEND)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with market.transaction() as its:
            os.write(writer, str(its.scalar(BACKEND)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        said = answer.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert said
    assert int(said) != parent
    with market.transaction() as mine:
        assert mine.scalar(BACKEND) == parent


def test_a_transaction_that_fails_leaves_nothing(market: store.Store) -> None:
    with pytest.raises(DBAPIError), market.transaction() as doomed:
        doomed.execute(text("CREATE TABLE market.left_behind (id int); SELECT no_such_column"))
    with market.transaction() as asked:
        assert asked.scalar(text("SELECT to_regclass('market.left_behind')")) is None


def test_sessions_speak_utc(market: store.Store) -> None:
    with market.transaction() as asked:
        assert asked.scalar(text("SHOW timezone")) == "UTC"
