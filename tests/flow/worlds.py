"""A site of real processes on servers of its own, with an exchange that does as it is told."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg2
import requests
from django.conf import UserSettingsHolder, settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connection

from apps.journal.models import Pulse
from apps.market.models import Instrument
from apps.ops import processes
from apps.ops.supervisor import Child
from apps.ops.supervisor.warden import Warden
from apps.trading.models import Account
from apps.trading.services import accounts
from tests.servers import PrivateServers

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0
SYMBOLS = ("BTC-USD", "ETH-USD")
MIGRATE = "import django; django.setup(); from apps.ops import first_run; first_run.migrate()"


def eventually(true: Callable[[], Any], patience: float = PATIENCE, explain: Callable[[], str] = str) -> Any:
    """Wait until something holds and return it."""
    deadline = time.monotonic() + patience
    while not (found := true()):
        assert time.monotonic() < deadline, f"it did not happen within {patience} s: {explain()}"
        time.sleep(0.01)
    return found


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """A private PostgreSQL and Redis, and a migrated database in it that others are copied from."""

    def __init__(self, servers: PrivateServers) -> None:
        self.servers = servers
        self._numbers = itertools.count(1)
        self._template = f"template_{os.getpid()}"
        self._execute(f"CREATE DATABASE {self._template}")
        env = {**servers.environment, **_addresses(self.url(self._template))}
        subprocess.run([sys.executable, "-c", MIGRATE], env=env, cwd=ROOT, check=True)

    def url(self, name: str) -> str:
        return urlsplit(self.servers.database_url)._replace(path=f"/{name}").geturl()

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """Yield the address of a fresh migrated database, and drop it afterwards."""
        name = f"world_{os.getpid()}_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        try:
            yield self.url(name)
        finally:
            self.servers.mend()
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        with contextlib.closing(psycopg2.connect(self.servers.database_url)) as raw:
            raw.autocommit = True
            with raw.cursor() as cursor:
                cursor.execute(statement)


def _addresses(database_url: str) -> dict[str, str]:
    return {"DATABASE_URL": database_url, "MARKET_DATABASE_URL": database_url}


@contextlib.contextmanager
def connected(database_url: str) -> Iterator[None]:
    """Let Django in this process talk to another database."""
    parts = urlsplit(database_url)
    before = dict(connection.settings_dict)
    connection.close()
    connection.settings_dict.update(
        NAME=parts.path[1:], HOST=parts.hostname, PORT=parts.port, USER=parts.username, PASSWORD=parts.password
    )
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.clear()
        connection.settings_dict.update(before)


class Exchange:
    """The simulated exchange as a process, steered over HTTP."""

    def __init__(self, ws_url: str, rest_url: str) -> None:
        self.ws_url = ws_url
        self.rest_url = rest_url

    def push(self, symbol: str, *prices: str) -> list[int]:
        body = [{"product_id": symbol, "price": price} for price in prices]
        return list(self._post("/_sim/trades", body)["trade_ids"])

    def fault(self, text: str) -> None:
        self._post("/_sim/faults", {"fault": text})

    def journal(self) -> dict[str, Any]:
        return dict(requests.get(f"{self.rest_url}/_sim/journal", timeout=10).json())

    def listeners(self, symbol: str) -> int:
        return int(self.journal()["listeners"].get(symbol, 0))

    def trades(self, symbol: str, since: float) -> list[dict[str, Any]]:
        """Return every trade since an instant (seconds since the epoch), newest first, sent or not."""
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": 1000}
        while True:
            page = requests.get(f"{self.rest_url}/products/{symbol}/trades", params=query, timeout=10).json()
            found += page
            if len(page) < 1000 or datetime.fromisoformat(page[-1]["time"]).timestamp() < since:
                return found
            query["after"] = page[-1]["trade_id"]

    def _post(self, path: str, body: object) -> Any:
        answer = requests.post(self.rest_url + path, json=body, timeout=10)
        assert answer.ok, answer.text
        return answer.json()


class World:
    """Processes of the site, started one by one, on a database of their own."""

    def __init__(self, database_url: str, redis_url: str, folder: Path) -> None:
        self.database_url = database_url
        self.redis_url = redis_url
        self.folder = folder
        self.ports = {"WEB_PORT": free_port()}
        self.extra: dict[str, str] = {}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._warden = Warden()  # nothing started here outlives this process

    @property
    def environment(self) -> dict[str, str]:
        own = {
            **_addresses(self.database_url),
            "REDIS_URL": self.redis_url,
            "BROKER_URL": self.redis_url,
            "TRADINGSITE_EMBEDDED": "",
            "TRADINGSITE_VAR": str(self.folder),
            "DEMO": "0",
            "SECOND_FACTOR": "offered",  # tests sign in with a password alone, except those of signing in
            **self.extra,
        }
        return {**os.environ, **own}

    def child(self, name: str) -> Child:
        """Return a process as `manage.py up` would start it."""
        chosen = UserSettingsHolder(settings)
        chosen.WEB_PORT, chosen.LISTENER_STANDBY = self.ports["WEB_PORT"], True
        found = {child.name: child for child in processes.children(chosen, flower_password="x")}
        return found[name]

    def start(self, name: str, **environment: str) -> "subprocess.Popen[bytes]":
        """Start a process of the site under its name of `manage.py up`."""
        child = self.child(name)
        return self.spawn(name, child.argv, {**child.environment, **environment})

    def spawn(self, name: str, argv: Sequence[str], environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        log = self.folder / f"{name}.log"
        with log.open("ab") as file:
            process = subprocess.Popen(
                self._warden.tether(tuple(argv), signal.SIGTERM),
                cwd=ROOT,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                pass_fds=(self._warden.pipe,),
            )
        self._warden.expect(process.pid, signal.SIGTERM)
        self.running[name] = process
        return process

    def open_exchange(self, *words: str) -> Exchange:
        """Start the simulated exchange; words are further options of its command."""
        port = str(free_port())
        self.spawn("simulator", (sys.executable, str(ROOT / "manage.py"), "simulator", "--port", port, *words), {})
        exchange = Exchange(f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{port}")
        eventually(lambda: _answers(f"{exchange.rest_url}/time"), explain=lambda: self.log("simulator"))
        self.extra |= {"COINBASE_WS_URL": exchange.ws_url, "COINBASE_REST_URL": exchange.rest_url}
        return exchange

    def wait_for(self, *names: str) -> None:
        """Wait for the first sign of life of processes that were started here, listeners live at their feed."""
        for name in names:
            pid = self.running[name].pid
            eventually(lambda pid=pid: is_well(pid), explain=lambda name=name: f"{name}: {self.log(name)}")

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a process alone, not to its children; return its pid."""
        process = self.running[name]
        process.send_signal(number)
        if number == signal.SIGKILL:
            process.wait(10)
        return process.pid

    def stop(self, name: str) -> None:
        """End a process and whatever it started."""
        process = self.running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(8)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)
        self._warden.forget(process.pid)

    def close(self) -> None:
        """End everything, the exchange last."""
        for name, process in self.running.items():
            if name != "simulator":
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for name in sorted(self.running, key=lambda name: name == "simulator"):
            self.stop(name)
        self._warden.close()

    def manage(self, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *words],
            cwd=ROOT,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def is_well(pid: int) -> bool:
    pulse = Pulse.objects.filter(pid=pid).order_by("-beat_at").first()
    return pulse is not None and pulse.facts.get("feed", "live") == "live"


def instruments(*symbols: str) -> list[Instrument]:
    """Make instruments with steps of a cent and a hundred-millionth."""
    return [
        Instrument.objects.create(
            symbol=symbol,
            base_currency=symbol.partition("-")[0],
            quote_currency=symbol.partition("-")[2],
            tick_size=Decimal("0.01"),
            lot_size=Decimal("0.00000001"),
            min_quantity=Decimal("0.00000001"),
        )
        for symbol in symbols
    ]


def account(name: str = "ada") -> Account:
    """Make a trader with a rich paper account."""
    user = get_user_model()._default_manager.create_user(username=name, password="a long enough password")
    user.groups.add(Group.objects.get(name="Trader"))
    return accounts.open_account(owner_id=user.pk, name="paper", deposit=Decimal(10) ** 12, now=datetime.now(UTC))


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def as_json(text: str) -> dict[str, Any]:
    """Return the one JSON object a text is, and nothing but it."""
    found = json.loads(text)
    assert isinstance(found, dict)
    return found
