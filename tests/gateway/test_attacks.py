"""What breaks, and what people break: the web process killed, Redis emptied, the database gone, clients that attack."""

import contextlib
import json
import os
import random
import signal
import socket as sockets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
import redis
from django.db import connection
from websockets.exceptions import ConnectionClosed

from apps.journal.services import record
from tests.gateway.clients import ROOT, client, eventually, free_port, serving
from tests.gateway.conftest import Person
from tests.gateway.test_nothing_is_lost import Connect, Writers, write

pytestmark = pytest.mark.django_db(transaction=True)


class Life:
    """A client over many sockets: what it was sent, and where it stands."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.resume: str | None = None
        self.got: list[int] = []
        self.deaths = 0

    def live(self, port: int, seconds: float) -> None:
        """Listen for a while, then die without a word; a server that is away is tried again."""
        deadline = time.monotonic() + seconds
        broken = contextlib.suppress(OSError, ConnectionClosed, TimeoutError, EOFError)
        with broken, client(port, token=self.token) as socket:
            since = {"since": self.resume} if self.resume else {}
            socket.tell(type="subscribe", channels=["positions", "events"], **since)
            try:
                while (left := deadline - time.monotonic()) > 0:
                    self._told(socket.next(left))
            finally:
                socket.raw.socket.shutdown(sockets.SHUT_RDWR)
        self.deaths += 1

    def _told(self, message: dict[str, object]) -> None:
        if message["type"] == "welcome":
            return
        if "resume" in message:
            self.resume = str(message["resume"])
        if "event" in message:
            self.got.append(int(str(message["event"])))


def test_clients_that_die_and_come_back_to_other_processes_lose_and_repeat_nothing(
    site: int, ann: Person, bob: Person, database_url: str, connect_to_database: Connect
) -> None:
    lives = [Life(person.token) for person in (ann, bob, ann, bob)]
    over = threading.Event()

    def keep(life: Life, ports: list[int], choose: random.Random) -> None:
        while not over.is_set():
            life.live(choose.choice(ports), choose.uniform(0.2, 0.8))

    with serving({"DATABASE_URL": database_url}) as other:
        for life in lives:
            life.live(site, 0.3)
        begun = [life.resume for life in lives]
        assert all(begun)
        keepers = [
            threading.Thread(target=keep, args=(life, [site, other], random.Random(seed)))
            for seed, life in enumerate(lives)
        ]
        writers = Writers(connect_to_database, [ann.account_id, bob.account_id], 15)
        for thread in keepers:
            thread.start()
        writers.start()
        writers.join()
        over.set()
        for thread in keepers:
            thread.join()
        for life in lives:
            life.live(site, 1.5)
    for life, person in zip(lives, (ann, bob, ann, bob), strict=True):
        mine = {number for number, account in writers.committed.items() if account == person.account_id}
        assert life.deaths > 3
        assert sorted(life.got) == sorted(mine)


@contextmanager
def killable(database_url: str) -> Iterator[tuple[int, Callable[[], None]]]:
    """Run the site on one port; the function kills it with -9 and starts it again there."""
    port, running = free_port(), contextlib.ExitStack()

    def again() -> None:
        words = [sys.executable, "-m", "uvicorn", "tradingsite.asgi:application", "--port", str(port)]
        process = subprocess.Popen(words, cwd=ROOT, env={**os.environ, "DATABASE_URL": database_url})
        running.callback(process.wait, 15)
        running.callback(process.send_signal, signal.SIGKILL)

    def restart() -> None:
        running.pop_all().close()
        again()

    with running:
        again()
        try:
            yield port, restart
        finally:
            running.pop_all().close()


def test_a_web_process_killed_under_its_clients_costs_them_nothing(
    ann: Person, database_url: str, connect_to_database: Connect
) -> None:
    life, raw = Life(ann.token), connect_to_database()
    written: list[int] = []
    with killable(database_url) as (port, restart):
        eventually(lambda: (life.live(port, 0.5), life.resume)[1], 60)
        for _ in range(2):
            listener = threading.Thread(target=life.live, args=(port, 20))
            listener.start()
            for _ in range(10):
                written.append(write(raw, ann.account_id))
                raw.commit()
                time.sleep(0.02)
            restart()
            listener.join()
            written.append(write(raw, ann.account_id))  # nobody serves
            raw.commit()
        eventually(lambda: (life.live(port, 0.5), len(life.got) >= len(written))[1], 60)
    assert life.got == written


def test_an_emptied_redis_costs_no_event(site: int, ann: Person, redis_url: str) -> None:
    with client(site, token=ann.token) as socket, redis.Redis.from_url(redis_url) as link:
        socket.subscribe("positions")
        numbers = []
        for _ in range(5):
            link.flushdb()
            link.client_kill_filter(_type="pubsub")
            numbers.append(record("position.created", "position:1", account_id=ann.account_id, payload={}))
        assert [message["event"] for message in socket.events()] == numbers


@pytest.mark.faults
def test_a_database_that_goes_and_comes_back_loses_and_repeats_nothing(site: int, ann: Person) -> None:
    with client(site, token=ann.token) as socket, client(site, token=ann.token) as other:
        begun = socket.subscribe("events")["resume"]
        other.until("welcome")
        numbers = []
        for _ in range(3):
            numbers.append(record("position.created", "position:1", account_id=ann.account_id, payload={}))
            with closing(connection.cursor()) as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        got: list[int] = []
        eventually(lambda: (got.extend(message["event"] for message in socket.events(0.2)), len(got) >= 3)[1], 20)
        assert got == numbers
        other.subscribe("events", since=begun)
        assert [message["event"] for message in other.events()] == numbers


def test_ten_thousand_subscriptions_end_the_socket_of_who_sends_them_and_hold_up_nobody(
    site: int, ann: Person, bob: Person
) -> None:
    with client(site, token=ann.token) as greedy, client(site, token=bob.token) as calm:
        calm.subscribe("positions")
        text = json.dumps({"type": "subscribe", "channels": ["events", "positions"] * 50, "since": 0})
        with contextlib.suppress(ConnectionClosed):
            for _ in range(10_000):
                greedy.raw.send(text)
        number = record("position.created", "position:1", account_id=bob.account_id, payload={})
        assert calm.until("position.created")["event"] == number
        assert greedy.close_code() == 4429


GARBAGE = {
    "no frame": b"\x00" * 64,
    "a reserved opcode": b"\x83\x80\x00\x00\x00\x00",
    "not masked": b"\x81\x02{}",
    "a length beyond all reason": b"\x81\xff" + b"\x7f" * 12,
    "half a frame, then nothing": b"\x81\xfe\x10",
    "not UTF-8": b"\x81\x82\x00\x00\x00\x00\xff\xfe",
    "a request in the middle": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("bytes_sent", GARBAGE.values(), ids=GARBAGE)
def test_garbage_on_the_wire_ends_only_the_socket_it_came_on(
    site: int, ann: Person, bob: Person, bytes_sent: bytes
) -> None:
    with client(site, token=bob.token) as other:
        other.next()
        with contextlib.suppress(ConnectionClosed, OSError, EOFError), client(site, token=ann.token) as socket:
            socket.next()
            socket.raw.socket.sendall(bytes_sent)
            with contextlib.suppress(TimeoutError):
                socket.next(0.3)
            socket.raw.socket.shutdown(sockets.SHUT_RDWR)
        other.tell(type="ping")
        assert other.next()["type"] == "pong"


def test_a_socket_that_only_half_opens_holds_up_nobody(site: int, ann: Person) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            raw = stack.enter_context(sockets.create_connection(("127.0.0.1", site)))
            raw.sendall(b"GET /ws/v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n")
        with client(site, token=ann.token) as socket:
            assert socket.next()["type"] == "welcome"
