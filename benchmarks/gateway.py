"""How long is an event under way from its commit to hundreds of clients, and does one that dies lose or repeat any?"""

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from redis import Redis

from benchmarks import gateway_layer, stage
from benchmarks.figures import Goal, Table, quantile

COLUMNS = ("from commit to client, ms", "messages", "p50", "p90", "p99", "most")
CHANNELS = ["events", "positions", "orders", "exits", "risk", "quotes"]
SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD", "ADA-USD")  # five quotes a second each, after conflation
TICKS_EVERY = 0.05  # seconds between two batches of prices: four times what may pass
EVENTS_EVERY, EVERYBODY_EVERY = 0.02, 1.0  # seconds between two transactions
KINDS = ("position.created", "order.created", "exit.waiting", "account.deposited")
PATIENCE = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many sockets of how many people, and for how long."""

    clients: int
    people: int
    seconds: float
    death_every: float = 1.0


QUICK = Size(clients=30, people=10, seconds=5)
FULL = Size(clients=500, people=100, seconds=60)


@dataclass(slots=True, kw_only=True)
class Run:
    """What was written and what came."""

    written: dict[int, tuple[int | None, float]]  # event -> account (None: everybody's) and instant of its commit
    clients: list[dict[str, Any]]
    accounts: list[int]  # of each client
    deaths: int
    layer: Mapping[str, Sequence[float]]
    redis: Sequence[float]
    server_cpu: float  # cores
    client_cpu: float
    seconds: float

    @property
    def lost(self) -> int:
        """How many events did not come to a client that had to get them."""
        return sum(len(self.due(number) - set(self.numbers(number))) for number in range(len(self.clients)))

    @property
    def repeated(self) -> int:
        """How many came more than once, or to somebody they are not for."""
        kept = range(len(self.clients))
        return sum(len(self.numbers(number)) - len(set(self.numbers(number)) & self.due(number)) for number in kept)

    @property
    def quotes(self) -> float:
        """Quotes per client and second."""
        return sum(client["quotes"] for client in self.clients) / len(self.clients) / self.seconds

    def due(self, number: int) -> set[int]:
        """Return the events that a client must get once each."""
        return {event for event, (account, _) in self.written.items() if account in (None, self.accounts[number])}

    def numbers(self, number: int) -> list[int]:
        """Return the events a client got, in order."""
        return [event for event, _ in self.clients[number]["events"] if event in self.written]

    def latencies(self, everybody: bool) -> list[float]:
        """Return the milliseconds from commit to client of what came live; a client that was away does not count."""
        found = []
        for client in self.clients:
            begun = iter([*client["lives"], float("inf")])
            life, following = next(begun), next(begun)
            for event, at in client["events"]:
                while at >= following:
                    life, following = following, next(begun)
                account, committed = self.written.get(event, (0, 0.0))
                if committed > life and (account is None) == everybody:
                    found.append((at - committed) * 1000)
        return found


def run(size: Size, folder: Path) -> Table:
    """Measure, and hold what came against what was written."""
    return table(size, measure(size, folder))


def table(size: Size, done: Run) -> Table:
    """Return the figures of a run."""
    title = (
        f"Gateway: {size.clients} clients of {size.people} people, one killed and resumed every "
        f"{size.death_every:g} s, {done.seconds:.0f} s"
    )
    made = Table(title=title, columns=COLUMNS)
    spans: dict[str, Sequence[float]] = {
        f"an event of one person ({size.clients // size.people} sockets)": done.latencies(False),
        f"an event for all {size.clients} sockets": done.latencies(True),
        "Redis alone: published to heard, same seconds": done.redis,
        **{f"channel layer in memory, nothing else running: {name}": spent for name, spent in done.layer.items()},
    }
    for name, found in spans.items():
        shares = [quantile(found, share) for share in (0.5, 0.9, 0.99)]
        made.rows.append((name, len(found), *shares, max(found)))
    made.goals += [
        Goal(text="events lost", value=float(done.lost), limit=0, at_most=True),
        Goal(text="events repeated, or sent to others", value=float(done.repeated), limit=0, at_most=True),
        Goal(text="quotes a second per client", value=done.quotes, limit=19),
    ]
    errors = sorted({code for client in done.clients for code in client["errors"]})
    made.notes.append(
        f"{len(done.written):,} events in transactions that commit out of order, some rolled back; {done.deaths} deaths"
    )
    made.notes.append(
        f"the web process used {done.server_cpu:.2f} cores, all clients together {done.client_cpu:.2f}, "
        f"errors told: {', '.join(errors) or 'none'}"
    )
    return made


def measure(size: Size, folder: Path) -> Run:
    """Let clients listen, die and come back while events and prices are written."""
    people = _people(size)
    layer = gateway_layer.measure([size.clients // size.people, size.clients])
    with _server(folder) as (port, server), _Traffic([account for account, _ in people]) as traffic:
        crowd = [people[number % len(people)] for number in range(size.clients)]
        plan = {"port": port, "channels": CHANNELS, "death_every": size.death_every, "settle": 3.0}
        with _sockets({**plan, "tokens": [token for _, token in crowd]}) as sockets:
            begun, used = time.monotonic(), _cpu(server)
            traffic.begin()
            time.sleep(size.seconds)
            traffic.end()
            seconds, cpu = time.monotonic() - begun, _cpu(server) - used
            told = sockets.stop()
    return Run(
        written=traffic.written,
        clients=told["clients"],
        accounts=[account for account, _ in crowd],
        deaths=told["deaths"],
        layer=layer,
        redis=traffic.heard,
        server_cpu=cpu / seconds,
        client_cpu=told["cpu"] / seconds,
        seconds=seconds,
    )


def _people(size: Size) -> list[tuple[int, str]]:
    """Make people with an account and a token each; an instrument for each price."""
    from apps.access import services as access
    from apps.access.models import Scope, User
    from apps.market.models import Instrument
    from apps.trading.services import accounts

    now, one, made = datetime.now(UTC), Decimal("0.01"), []
    for symbol in SYMBOLS:
        base, _, quote = symbol.partition("-")
        grid = {"tick_size": one, "lot_size": one, "min_quantity": one}
        Instrument.objects.get_or_create(symbol=symbol, base_currency=base, quote_currency=quote, defaults=grid)
    mark = os.getpid()
    for number in range(size.people):
        user = User.objects.create(username=f"bench-{mark}-{number}")
        account = accounts.open_account(owner_id=user.pk, name="bench", deposit=Decimal(1000), now=now)
        made.append((account.pk, access.create_token(user=user, scope=Scope.READ, now=now).text))
    return made


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    from apps.ops import processes

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = ["-m", "uvicorn", "tradingsite.asgi:application", "--port", str(port), "--no-access-log", *processes.SOCKETS]
    with stage.running(argv, folder / "gateway.log", {"LOG_LEVEL": "WARNING"}) as web:
        stage.until(lambda: _answers(port), 60, "the web process does not answer")
        yield port, psutil.Process(web.process.pid)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _cpu(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return float(spent.user + spent.system)


class _Sockets:
    """The process with all clients."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def stop(self) -> dict[str, Any]:
        """Return what came, after what is still under way has arrived."""
        out, _ = self._process.communicate("stop\n", timeout=PATIENCE)
        told: dict[str, Any] = json.loads(out.splitlines()[-1])
        return told


@contextlib.contextmanager
def _sockets(plan: dict[str, Any]) -> Iterator[_Sockets]:
    argv = [sys.executable, "-m", "benchmarks.gateway_sockets"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=stage.ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(plan) + "\n")
            process.stdin.flush()
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("the clients did not get in")
            yield _Sockets(process)
        finally:
            process.kill()


class _Traffic:
    """Threads that write events out of order and publish prices, from `begin` to `end`."""

    def __init__(self, accounts: Sequence[int]) -> None:
        self.written: dict[int, tuple[int | None, float]] = {}
        self.heard: list[float] = []
        self._accounts = accounts
        self._over = threading.Event()
        self._threads = [
            *(threading.Thread(target=self._write, args=(seed,)) for seed in range(3)),
            threading.Thread(target=self._quote),
            threading.Thread(target=self._listen),
        ]

    def __enter__(self) -> "_Traffic":
        self._redis = Redis.from_url(os.environ["REDIS_URL"])
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._redis.close()

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _write(self, seed: int) -> None:
        choose, everybody_at = random.Random(seed), time.monotonic()
        with contextlib.closing(psycopg2.connect(os.environ["DATABASE_URL"])) as link:
            while not self._over.wait(choose.expovariate(1 / (3 * EVENTS_EVERY))):
                is_for_all = seed == 0 and time.monotonic() - everybody_at > EVERYBODY_EVERY
                account = None if is_for_all else choose.choice(self._accounts)
                kind = "trading.state_changed" if is_for_all else choose.choice(KINDS)
                numbers = [_insert(link, kind, account) for _ in range(choose.choice((1, 1, 2)))]
                time.sleep(choose.choice((0, 0, 0, 0.01, 0.1)))  # others commit higher numbers meanwhile
                if choose.random() < 0.05:
                    link.rollback()
                    continue
                link.commit()
                self.written.update(dict.fromkeys(numbers, (account, time.monotonic())))
                self._redis.publish("tradingsite:events", b"")
                everybody_at = time.monotonic() if is_for_all else everybody_at

    def _quote(self) -> None:
        count = 0
        while not self._over.wait(TICKS_EVERY):
            count += 1
            at = datetime.now(UTC).isoformat()
            quotes = [
                {"instrument": symbol, "price": f"{count}", "bid": "99", "ask": "101", "at": at, "trade_id": count}
                for symbol in SYMBOLS
            ]
            self._redis.publish("tradingsite:quotes", json.dumps(quotes))
            self._redis.publish("benchmark:now", repr(time.monotonic()))

    def _listen(self) -> None:
        with Redis.from_url(os.environ["REDIS_URL"]) as client, client.pubsub() as heard:
            heard.subscribe("benchmark:now")
            while not self._over.is_set():
                message = heard.get_message(timeout=0.2)
                if message is not None and message["type"] == "message":
                    self.heard.append((time.monotonic() - float(message["data"])) * 1000)


def _insert(link: Any, kind: str, account: int | None) -> int:
    with link.cursor() as cursor:
        cursor.execute(
            "INSERT INTO journal_event (kind, subject, account_id, actor, payload) "
            "VALUES (%s, 'x:1', %s, '', %s) RETURNING id",
            [kind, account, json.dumps({"position": 1, "instrument": "BTC-USD", "note": "x" * 150})],
        )
        return int(cursor.fetchone()[0])
