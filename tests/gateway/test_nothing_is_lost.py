"""Every event exactly once: with commits out of order, over a replay, without Redis, after a database restart."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from random import Random
from typing import Any

import pytest
from django.db import connection

from apps.journal.services import record
from apps.web.gateway.tail import LOOK_BACK, PATIENCE, Tail
from tests.gateway.clients import Client, client, serving
from tests.gateway.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)
INSERT = """
INSERT INTO journal_event (kind, subject, account_id, actor, payload) VALUES (%s, 'x:1', %s, '', '{}') RETURNING id
"""
Connect = Callable[[], Any]


def write(raw: Any, account: int, kind: str = "position.created") -> int:
    with raw.cursor() as cursor:
        cursor.execute(INSERT, [kind, account])
        return int(cursor.fetchone()[0])


class Writers:
    """Threads that write events in transactions of random length, some of them rolled back."""

    def __init__(self, connect: Connect, accounts: list[int], each: int, threads: int = 4) -> None:
        self.committed: dict[int, int] = {}  # event -> account
        self._work = [
            threading.Thread(target=self._write, args=(connect(), accounts, each, Random(seed)))
            for seed in range(threads)
        ]

    def start(self) -> None:
        for thread in self._work:
            thread.start()

    def join(self) -> None:
        for thread in self._work:
            thread.join()

    def _write(self, raw: Any, accounts: list[int], each: int, choose: Random) -> None:
        for _ in range(each):
            account = choose.choice(accounts)
            numbers = [write(raw, account) for _ in range(choose.randrange(1, 4))]
            time.sleep(choose.choice([0, 0, 0.01, 0.1, 0.4]))
            if choose.random() < 0.15:
                raw.rollback()
            else:
                raw.commit()
                self.committed.update(dict.fromkeys(numbers, account))


def numbers_of(socket: Client) -> list[int]:
    return [message["event"] for message in socket.events(1.0)]


def test_live_events_arrive_once_although_they_commit_out_of_order(
    site: int, ann: Person, bob: Person, connect_to_database: Connect
) -> None:
    writers = Writers(connect_to_database, [ann.account_id, bob.account_id], 40)
    with client(site, token=ann.token) as socket:
        socket.subscribe("events")
        writers.start()
        got = numbers_of(socket)
        writers.join()
        got += numbers_of(socket)
    assert len(got) == len(set(got))
    assert set(got) == {number for number, account in writers.committed.items() if account == ann.account_id}
    assert got != sorted(got), "nothing was out of order: the test proved nothing"


def test_a_replay_joins_the_present_without_loss_or_repeat_while_others_write(
    site: int, ann: Person, bob: Person, connect_to_database: Connect
) -> None:
    begun = record("position.created", "x:1", account_id=ann.account_id, payload={})
    for _ in range(1200):  # more than two pages
        record("position.created", "x:1", account_id=ann.account_id, payload={})
    writers = Writers(connect_to_database, [ann.account_id, bob.account_id], 40)
    writers.start()
    time.sleep(0.3)
    sockets = []
    for _ in range(6):
        opened = client(site, token=ann.token)
        sockets.append((opened, opened.__enter__()))
        sockets[-1][1].subscribe("positions", since=begun)
        time.sleep(0.2)
    writers.join()
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM journal_event WHERE id > %s AND account_id = %s", [begun, ann.account_id])
        expected = {number for (number,) in cursor.fetchall()}
    for opened, socket in sockets:
        got = numbers_of(socket)
        opened.__exit__(None, None, None)
        assert len(got) == len(set(got))
        assert set(got) == expected


def test_a_replay_gives_only_the_channels_named_and_only_later_events(site: int, ann: Person) -> None:
    kinds = ["position.created", "exit.failed", "account.deposited", "position.closed"]
    numbers = [record(kind, "x:1", account_id=ann.account_id, payload={}) for kind in kinds]
    with client(site, token=ann.token) as socket:
        socket.subscribe("exits", since=numbers[0])
        assert [(m["type"], m["event"]) for m in socket.events()] == [
            ("exit.failed", numbers[1]),
            ("position.closed", numbers[3]),
        ]
        socket.subscribe("positions", since=numbers[3])
        assert socket.events() == []


def test_resuming_where_a_message_says_gives_what_committed_late_and_nothing_twice(
    site: int, ann: Person, connect_to_database: Connect
) -> None:
    slow, fast = connect_to_database(), connect_to_database()
    with client(site, token=ann.token) as socket:
        socket.subscribe("positions")
        late = write(slow, ann.account_id)
        early = write(fast, ann.account_id)
        fast.commit()
        message = socket.until("position.created")
    assert message["event"] == early
    slow.commit()
    with client(site, token=ann.token) as socket:
        socket.subscribe("positions", since=message["resume"])
        assert numbers_of(socket) == [late]


def test_without_redis_an_event_arrives_all_the_same(ann: Person, database_url: str) -> None:
    environment = {"DATABASE_URL": database_url, "REDIS_URL": "redis://127.0.0.1:1/0"}
    with serving(environment) as port, client(port, token=ann.token) as socket:
        socket.subscribe("positions")
        for _ in range(10):
            begun = time.monotonic()
            number = record("position.created", "x:1", account_id=ann.account_id, payload={})
            assert socket.until("position.created")["event"] == number
            assert time.monotonic() - begun < 2


def test_broken_database_connections_lose_no_event(site: int, ann: Person) -> None:
    with client(site, token=ann.token) as socket:
        socket.subscribe("positions")
        numbers = []
        for _ in range(3):
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            numbers.append(record("position.created", "x:1", account_id=ann.account_id, payload={}))
            time.sleep(0.3)
        got = numbers_of(socket)
        while len(got) < len(numbers):
            got.append(socket.until("position.created")["event"])
        assert got == numbers
        socket.subscribe("exits", since=numbers[0] - 1)  # a connection that broke while it was idle is replaced


# --- the tail alone -------------------------------------------------------------------------------------------------
def test_the_tail_hands_out_late_commits_once_and_gives_up_on_rolled_back_numbers(
    ann: Person, connect_to_database: Connect
) -> None:
    tail = Tail()
    tail.poll(0.0, 100)
    late, lost, early = (connect_to_database() for _ in range(3))
    first, second, third = (write(raw, ann.account_id) for raw in (late, lost, early))
    early.commit()
    assert [fact.id for fact in tail.poll(1.0, 100)] == [third]
    assert tail.place.missing >= {first, second}
    assert tail.place.floor < first
    late.commit()
    lost.rollback()
    assert [fact.id for fact in tail.poll(2.0, 100)] == [first]
    assert tail.poll(3.0, 100) == []
    assert tail.place.missing == {second}
    tail.poll(1.0 + PATIENCE, 100)
    assert tail.place.missing == set()
    assert tail.place.floor == third


def test_the_tail_begins_at_the_end_but_knows_what_is_still_missing(ann: Person, connect_to_database: Connect) -> None:
    slow = connect_to_database()
    late = write(slow, ann.account_id)
    for _ in range(3):
        record("position.created", "x:1", account_id=ann.account_id, payload={})
    tail = Tail()
    assert tail.poll(0.0, 100) == []
    slow.commit()
    assert [fact.id for fact in tail.poll(0.1, 100)] == [late]


def test_a_sequence_set_far_forward_does_not_fill_the_memory(ann: Person) -> None:
    tail = Tail()
    tail.poll(0.0, 100)
    with closing(connection.cursor()) as cursor:
        cursor.execute("SELECT nextval('journal_event_id_seq')")
        before = cursor.fetchone()[0]
        cursor.execute("SELECT setval('journal_event_id_seq', %s)", [before + 10_000_000])
    number = record("position.created", "x:1", account_id=ann.account_id, payload={})
    assert [fact.id for fact in tail.poll(1.0, 100)] == [number]
    assert len(tail.place.missing) < 10 * LOOK_BACK
