"""The whole site in one command: servers, schemas, first-run data, every process, and one calm status."""

import dataclasses
import json
import secrets
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import psutil
from django.conf import UserSettingsHolder, settings
from django.core.management import call_command

from apps.ops import first_run, processes, servers, stopping, tally
from apps.ops.servers import Addresses
from apps.ops.supervisor import Child, Claim, State, Supervisor

# Importing the code is most of a start. What trading does not wait for begins once the rest is ready.
EARLY = frozenset({"simulator", "flower"})  # need no tables: beside the migrations
LATE = frozenset({"worker-reporting", "worker-backtests"})
READY_WITHIN = 120.0  # seconds until a start that is not complete is said to have failed


class NotReady(Exception):
    """The site did not come up; the sentence says which part is missing and where its log is."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Where the site answers."""

    web: int
    flower: int
    simulator: int
    flower_password: str

    @property
    def site(self) -> str:
        """The site's address."""
        return f"http://{settings.WEB_HOST}:{self.web}"


class Site:
    """The running site: starts everything on entering, stops everything in order on leaving."""

    def __init__(self, found: Addresses, claim: Claim, say: Callable[[str], None]) -> None:
        self.started_at = datetime.fromtimestamp(psutil.Process().create_time(), UTC)
        self.found = found
        self.doors = _doors()
        self.prepared: first_run.Prepared | None = None
        self._claim = claim
        self._say = say
        self._supervisor = Supervisor(Path(settings.VAR) / "log")
        self._later: list[Child] = []

    def __enter__(self) -> Self:
        try:
            stopping.forget()
            self._start()
        except BaseException:  # Ctrl-C included: what was started is stopped in order
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        for name in self.found.embedded:
            self._supervisor.watch(name, pid=partial(servers.pid, name), revive=partial(servers.revive, name))
        children = self._children()
        self._supervisor.start(*(child for child in children if child.name in EARLY))
        for done in first_run.migrate():
            self._say(f"migrated {done}")
        if settings.SIMULATE:
            self._wait_for("the simulated exchange", lambda: _listens(self.doors.simulator))
        self.prepared = first_run.prepare(rest_url=self._venue()["COINBASE_REST_URL"], now=datetime.now(UTC))
        call_command("timetable", verbosity=0, stdout=_Nowhere())
        self._supervisor.start(*(child for child in children if child.name not in EARLY | LATE))
        self._later = [child for child in children if child.name in LATE]
        self._claim.announce(self.doors.site, f"127.0.0.1:{self.doors.simulator}" if settings.SIMULATE else "")

    def __exit__(self, *_: object) -> None:
        self._supervisor.__exit__(None, None, None)

    def wait_until_ready(self) -> float:
        """Wait until every part is healthy and return the seconds since the command began. Raises NotReady."""
        self._wait_for("the site", lambda: not self.missing())
        seconds = (datetime.now(UTC) - self.started_at).total_seconds()
        self._supervisor.start(*self._later)
        return round(seconds, 2)

    def missing(self) -> list[str]:
        """Name what is not healthy yet."""
        dead = [child.name for child in self._supervisor.snapshot() if child.state is not State.RUNNING]
        if dead:
            return dead
        status, answer = _get(f"http://127.0.0.1:{self.doors.web}/health/ready")
        if status != 200:
            checks = answer.get("checks", {}) if isinstance(answer, dict) else {}
            red = [
                name for name, check in checks.items() if not (check.get("ok") if isinstance(check, dict) else check)
            ]
            return red or ["web"]
        return [] if _listens(self.doors.flower) else ["flower"]

    def tick(self) -> None:
        """Look after the processes; call it ten times a second."""
        self._supervisor.tick()

    def children(self) -> Iterable[Any]:
        """Return every process and server as it is now."""
        return self._supervisor.snapshot()

    def restarts(self) -> int:
        """Return how often something was started again."""
        return sum(child.restarts for child in self._supervisor.snapshot())

    def summary(self, ready_seconds: float) -> dict[str, Any]:
        """Return what the run amounted to, asked of the database and not of the processes."""
        counts = tally.broken()
        seen = tally.since(self.started_at)
        return {
            "ready_seconds": ready_seconds,
            "ticks": seen.ticks,
            "positions_opened": seen.opened,
            "closes": seen.closes,
            "missed": tally.missed(counts),
            "doubled": tally.doubled(counts),
            "books_balanced": not counts["I3"],
            "restarts": self.restarts(),
            "tick_to_close_ms": dict(seen.tick_to_close_ms),
            "servers": {"postgresql": self.found.postgresql, "redis": self.found.redis},
        }

    def _wait_for(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while not ready():
            if time.monotonic() > deadline:
                missing = ", ".join(self.missing()) or what
                raise NotReady(f"Not ready after {READY_WITHIN:.0f} s: {missing}. See {settings.VAR}/log/NAME.log.")
            self._supervisor.tick()
            time.sleep(0.1)

    def _venue(self) -> dict[str, str]:
        if settings.SIMULATE:
            place = f"127.0.0.1:{self.doors.simulator}"
            return {"COINBASE_WS_URL": f"ws://{place}", "COINBASE_REST_URL": f"http://{place}"}
        return {"COINBASE_WS_URL": settings.COINBASE_WS_URL, "COINBASE_REST_URL": settings.COINBASE_REST_URL}

    def _children(self) -> list[Child]:
        chosen = UserSettingsHolder(settings)
        chosen.WEB_PORT, chosen.FLOWER_PORT = self.doors.web, self.doors.flower
        chosen.SIMULATOR_PORT = self.doors.simulator
        extra = {**self._venue(), "FLOWER_PORT": str(self.doors.flower), "WEB_PORT": str(self.doors.web)}
        found = processes.children(chosen, flower_password=self.doors.flower_password)  # type: ignore[arg-type]  # a holder reads like settings
        return [dataclasses.replace(child, environment={**child.environment, **extra}) for child in found]


class _Nowhere:
    def write(self, text: str) -> None:
        """Forget what a command says."""


def _doors() -> Doors:
    return Doors(
        web=_port(settings.WEB_PORT),
        flower=_port(settings.FLOWER_PORT),
        simulator=_port(settings.SIMULATOR_PORT),
        flower_password=_flower_password(),
    )


def _port(wanted: int) -> int:
    """Return the wanted port, or a free one when it is taken or 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _flower_password() -> str:
    """Return Flower's password, made once and kept in the state directory."""
    path = Path(settings.VAR) / "flower_password"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(12))
    return path.read_text()


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _host() -> str:
    """Return a name the site answers to; a pattern like .example.org stands for its bare name."""
    first = next(iter(settings.ALLOWED_HOSTS), "localhost")
    return "localhost" if first == "*" else first.lstrip(".")


def _get(url: str) -> tuple[int, Any]:
    try:
        request = urllib.request.Request(url, headers={"Host": _host()})  # noqa: S310 - our own address on loopback
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - the same
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        try:
            return error.code, json.load(error)
        except ValueError:
            return error.code, {}
    except (OSError, ValueError):
        return 0, {}
