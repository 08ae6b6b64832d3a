"""Which processes make up the site, and how each is started: `manage.py up`, the Procfile and the docs say the same."""

import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from django.conf import LazySettings

from apps.ops.supervisor import Child

ROOT: Final = Path(__file__).resolve().parents[2]
# A worker that is told to end finishes what it does, gives back what it has only taken, and goes. Django's checks of
# the pages say nothing about a worker and would double the time of its start.
CELERY: Final = {"REMAP_SIGTERM": "SIGQUIT", "CELERY_SKIP_CHECKS": "1"}
WORKER: Final = ("celery", "-q", "-A", "tradingsite", "worker", "--without-gossip", "--without-mingle")
# The gateway takes 4 KB a message; the server need not read megabytes before it says so.
SOCKETS: Final = ("--ws-max-size", "65536")
OTHER_QUEUES: Final = "market,strategies,ops"
QUEUES: Final = ("exits", "orders", "reporting", "backtests", *OTHER_QUEUES.split(","))
# What starts first stops last: the venue before its listeners, workers before what gives them work.
VENUE, WORKERS, WATCHERS, DOORS = 0, 1, 2, 3


def children(settings: LazySettings, *, flower_password: str) -> list[Child]:
    """Return every process of the site as it is configured, the simulated exchange included in the demo."""
    found = [*_workers(settings), *_watchers(settings), *_doors(settings, flower_password)]
    if settings.SIMULATE:
        found.insert(0, _child("simulator", ("manage.py", "simulator", f"--port={settings.SIMULATOR_PORT}"), VENUE))
    return found


def procfile(settings: LazySettings) -> str:
    """Return the Procfile: one line per kind of process, as `children` starts the first of it."""
    kinds = (child for child in children(settings, flower_password="") if child.name in KINDS)
    ordered = sorted(kinds, key=lambda child: KINDS.index(child.name))
    return "".join(f"{child.name}: {_line(child)}\n" for child in ordered)


KINDS: Final = (
    "web",
    "listener",
    "sweeper",
    "worker-exits",
    "worker-orders",
    "worker",
    "worker-reporting",
    "worker-backtests",
    "beat",
    "telegram",
    "flower",
    "simulator",
)


def _workers(settings: LazySettings) -> Iterable[Child]:
    # Exits have a worker of their own so that nothing delays a stop, orders so that no slow provider of messages
    # delays them. Of thousands of exits a minute Flower is told nothing.
    yield _worker("worker-exits", "exits", "exits", settings.EXIT_WORKERS, events=False)
    yield _worker("worker-orders", "orders", "orders", settings.ORDER_WORKERS)
    yield _worker("worker", "work", OTHER_QUEUES, settings.WORKERS)
    yield _worker("worker-reporting", "reporting", "reporting", settings.REPORTING_WORKERS)
    yield _worker("worker-backtests", "backtests", "backtests", settings.BACKTEST_WORKERS)


def _worker(name: str, node: str, queues: str, processes: int, *, events: bool = True) -> Child:
    words = ("-n", f"{node}@%h", "-Q", queues, "-P", "prefork", "-c", str(processes), *(("-E",) if events else ()))
    return _child(name, ("-m", *WORKER, *words), WORKERS, grace=7.0, environment=CELERY)


def _watchers(settings: LazySettings) -> Iterable[Child]:
    for shard in range(settings.LISTENER_SHARDS):
        argv = ("manage.py", "listener", *(("--shard", str(shard)) if shard else ()))
        name = f"listener-{shard}" if shard else "listener"
        yield _child(name, argv, WATCHERS)
        if settings.LISTENER_STANDBY:
            yield _child(f"{name}-standby", argv, WATCHERS)
    yield _child("sweeper", ("manage.py", "sweeper"), WORKERS)
    beat = ("-m", "celery", "-q", "-A", "tradingsite", "beat", "--pidfile=")
    yield _child("beat", beat, WATCHERS, environment={"CELERY_SKIP_CHECKS": "1"})
    yield _child("telegram", ("manage.py", "telegram"), WATCHERS)


def _doors(settings: LazySettings, flower_password: str) -> Iterable[Child]:
    address = ("--host", settings.WEB_HOST, "--port", str(settings.WEB_PORT))
    yield _child("web", ("-m", "uvicorn", "tradingsite.asgi:application", *address, "--no-access-log", *SOCKETS), DOORS)
    secret = {"FLOWER_BASIC_AUTH": f"admin:{flower_password}"} if flower_password else {}
    yield _child("flower", ("-m", "workers.flower"), DOORS, environment=secret)


def _child(
    name: str, argv: Iterable[str], order: int, *, grace: float = 5.0, environment: dict[str, str] | None = None
) -> Child:
    program = [str(ROOT / word) if word == "manage.py" else word for word in argv]
    return Child(
        name=name,
        argv=(sys.executable, *program),
        environment={"PROCESS_NAME": name, "PYTHONPATH": str(ROOT), **(environment or {})},
        stop_signal=signal.SIGTERM,
        grace=grace,
        order=order,
    )


def _line(child: Child) -> str:
    words = ["manage.py" if word == str(ROOT / "manage.py") else word for word in child.argv[1:]]
    values = [f"{name}={value}" for name, value in child.environment.items() if name in CELERY]
    return " ".join([*(["env", *values] if values else []), "python", *words])
