"""Is the whole site ready to trade? Each thing it needs by a check of its own, with what was seen."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from time import monotonic

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from apps.journal import canaries, pulses
from apps.journal.models import Lease, Pulse
from apps.market.models import Instrument
from apps.web import redis

LEASE_WITHIN = timedelta(seconds=5)
SWEEPER_WITHIN = timedelta(seconds=10)
WORKER_WITHIN = timedelta(seconds=15)
BEAT_WITHIN = timedelta(seconds=10)
PROCESS_WITHIN = timedelta(seconds=15)
SKEW_WITHIN = timedelta(seconds=1)
# What a process cannot do without, besides the database and its tables; the others do without Redis.
NEEDS_REDIS = ("worker", "beat", "web")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing the site needs, whether it is there, and what was seen."""

    name: str
    ok: bool
    seen: str


def checks(now: datetime) -> list[Check]:
    """Return every check; those on rows are left out while the database is away."""
    clock, database = _clock(now), _guarded("database", _database)
    if not database.ok:
        return [database, _guarded("redis", _redis)]
    asked: dict[str, Callable[[], str]] = {
        "migrations": _migrations,
        "clock": clock,
        "redis": _redis,
        "celery": _celery,
        **{
            name: _lease(name, now, LEASE_WITHIN, "no listener has led yet")
            for name in map("listener:{}".format, _shards())
        },
        "sweeper": lambda: _alive("sweeper", now, SWEEPER_WITHIN),
        "worker:exits": lambda: _alive("worker:", now, WORKER_WITHIN, _takes_exits),
        "beat": _lease("beat", now, BEAT_WITHIN, "no beat has led yet"),
        "canaries": lambda: _canaries(now),
    }
    return [database, *(_guarded(name, ask) for name, ask in asked.items())]


def of_process(role: str, now: datetime, host: str = "") -> list[Check]:
    """Return whether processes live whose name begins with `role`, on a host or anywhere; and what they need."""
    clock, database = _clock(now), _guarded("database", _database)
    needed: dict[str, Callable[[], str]] = {"redis": _redis} if role.startswith(NEEDS_REDIS) else {}
    if database.ok:
        here = (lambda pulse: pulse.host == host) if host else (lambda pulse: True)
        needed |= {"migrations": _migrations, "clock": clock}
        needed |= {"alive": lambda: _alive(role, now, PROCESS_WITHIN, here)}
    return [database, *(_guarded(name, ask) for name, ask in needed.items())]


def at_start(now: datetime) -> list[Check]:
    """Return what a process looks at when it starts: not whether others live, but whether it may trust its servers."""
    asked = {"migrations": _migrations, "clock": _clock(now), "redis": _redis, "celery": _celery}
    return [_guarded(name, ask) for name, ask in asked.items()]


class Failing(Exception):
    """A check is red; the sentence says what was seen."""


def _guarded(name: str, ask: Callable[[], str]) -> Check:
    try:
        return Check(name=name, ok=True, seen=ask())
    except Failing as failing:
        return Check(name=name, ok=False, seen=str(failing))
    except (DatabaseError, InterfaceError, redis.Away, OSError) as error:
        first = (str(error).strip().splitlines() or [""])[0]
        return Check(name=name, ok=False, seen=f"does not answer: {type(error).__name__} {first}".rstrip())


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        return f"PostgreSQL {cursor.fetchone()[0]}"


def _migrations() -> str:
    missing = sorted(_known() - set(MigrationRecorder(connection).applied_migrations()))
    if missing:
        named = ", ".join(".".join(key) for key in missing[:3])
        raise Failing(f"{len(missing)} not applied ({named}): run 'manage.py migrate'")
    return "all applied"


@cache
def _known() -> frozenset[tuple[str, str]]:
    """Return the migrations in the code, which does not change while the process lives."""
    return frozenset(MigrationLoader(None).graph.nodes)


def _clock(now: datetime) -> Callable[[], str]:
    """Compare clocks; what other checks take before this one's turn counts for neither."""
    began = monotonic()

    def ask() -> str:
        connection.ensure_connection()
        here = now + timedelta(seconds=monotonic() - began)
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            skew = abs(cursor.fetchone()[0] - here)
        text = f"{skew.total_seconds():.3f} s from the database's"
        if skew > SKEW_WITHIN:
            raise Failing(f"{text}: synchronise the machines' clocks")
        return text

    return ask


def _redis() -> str:
    if wrong := redis.unsafe():
        raise Failing("; ".join(wrong))
    return "append-only, evicts nothing, asks for a password"


def _celery() -> str:
    if set(settings.CELERY_ACCEPT_CONTENT) != {"json"}:
        raise Failing(f"accepts {', '.join(settings.CELERY_ACCEPT_CONTENT)}: let it accept json only")
    return "accepts JSON only"


def _shards() -> list[int]:
    """Return the shards of this site and every other one that has instruments: their stops are to be watched, too."""
    try:
        used = set(Instrument.objects.filter(enabled=True).values_list("shard", flat=True))
    except DatabaseError:  # no tables yet: the migrations are red
        used = set()
    return sorted({*range(settings.LISTENER_SHARDS), *used})


def _lease(role: str, now: datetime, within: timedelta, never: str) -> Callable[[], str]:
    def ask() -> str:
        lease = Lease.objects.filter(pk=role).first()
        if lease is None or lease.renewed_at is None:
            raise Failing(never)
        return _recent(lease.renewed_at, now, within, f"led by {lease.holder}, epoch {lease.epoch}, renewed")

    return ask


def _canaries(now: datetime) -> str:
    late = canaries.late(now)
    if late:
        told = ", ".join(f"{queue} for {past.total_seconds():.0f} s" for queue, past in sorted(late.items()))
        raise Failing(f"nothing comes through: {told}; are its workers stuck? Restart them")
    return "every queue that has workers is served"


def _alive(role: str, now: datetime, within: timedelta, counts: Callable[[Pulse], bool] = lambda pulse: True) -> str:
    # A pulse of the last minute tells a process that just died from one that never was.
    seen = pulses.alive(role, now=now, within=timedelta(minutes=1))
    last = max((pulse.beat_at for pulse in seen if counts(pulse)), default=None)
    if last is None:
        raise Failing("no sign of life within a minute")
    return _recent(last, now, within, "last sign of life")


def _takes_exits(worker: Pulse) -> bool:
    """Say whether a worker, named by its queues, executes exits."""
    served = worker.name.removeprefix("worker:").split(",")
    return "exits" in served or "all" in served


def _recent(at: datetime, now: datetime, within: timedelta, what: str) -> str:
    age = (now - at).total_seconds()
    if now - at > within:
        raise Failing(f"{what} {age:.1f} s ago, at {at.astimezone(UTC):%H:%M:%S} UTC; allowed are {within.seconds} s")
    return f"{what} {max(age, 0):.1f} s ago"


def names() -> Iterator[str]:
    """Yield the names of all checks, for the docs."""
    yield from ("database", "migrations", "clock", "redis", "celery")
    yield from (f"listener:{shard}" for shard in range(settings.LISTENER_SHARDS))
    yield from ("sweeper", "worker:exits", "beat", "canaries")
