"""The site by its rows: tables as new as the code, processes that live, feeds, the timetable, exits that wait."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django_celery_beat.models import PeriodicTask

from apps.journal.models import Lease, Pulse
from apps.market import store
from apps.market.models import FeedStatus, Instrument
from apps.ops.doctor.finding import Finding, aged, good, note, wrong
from apps.trading import selectors

SILENT: Final = timedelta(seconds=15)
LEASE: Final = timedelta(seconds=10)
WAITING: Final = timedelta(seconds=5)
FEED: Final = timedelta(minutes=1)
# Beat writes down what it has rung every three minutes, not at once.
LATE: Final = timedelta(minutes=5)
UNHEALTHY: Final = frozenset({"connecting", "stale", "down"})


def migrations() -> Iterator[Finding]:
    """Compare the tables of both histories with the code; wrong ones make the other questions senseless."""
    known = set(MigrationLoader(None).disk_migrations)
    applied = set(MigrationRecorder(connection).applied_migrations())
    missing, strange = sorted(known - applied), sorted(_ours(applied - known))
    if missing:
        seen = f"{len(missing)} changes of tables are not applied, first {'.'.join(missing[0])}"
        yield wrong("tables", "site", seen, "back up, then `manage.py migrate`, or start the site with `manage.py up`")
    if strange:
        seen = f"the tables are newer than this code: {'.'.join(strange[0])}"
        yield wrong("tables", "site", seen, "install the code that made them; never run older code on newer tables")
    try:
        if store.pending(settings.MARKET_DATABASE_URL):
            seen = "the market store's tables are not at the newest revision"
            yield wrong("tables", "market", seen, "`manage.py prepare`, or `python -m alembic upgrade head`")
            return
    except store.StoreUnavailable as error:
        yield wrong("tables", "market", str(error).splitlines()[0], "see the database above")
        return
    if not missing and not strange:
        yield good("tables", "site", f"all {len(known)} changes are applied, and the market store's")


def processes(now: datetime) -> Iterator[Finding]:
    """See that each kind of process gave a sign of life lately, and that each role is led."""
    newest: dict[str, Pulse] = {}
    for pulse in Pulse.objects.order_by("beat_at"):
        newest[pulse.name] = pulse
    if not newest:
        do = "start the site: `make run`, or `manage.py up`. Until then nobody watches a stop"
        yield wrong("processes", "site", "no process of this site has lived within a day", do)
        return
    for name, pulse in sorted(newest.items()):
        age = now - pulse.beat_at
        if age > SILENT:
            where = f"{pulse.host}:{pulse.pid}"
            do = f"see var/log of {name} on {pulse.host}; start it again, or forget it if it was taken out of service"
            yield wrong("processes", name, f"silent for {aged(age)}, last at {where}", do)
        else:
            yield good("processes", name, f"alive at {pulse.host}:{pulse.pid}, {aged(age)} ago")
    yield from _missing(set(newest))
    yield from _led(now)


def feeds(now: datetime) -> Iterator[Finding]:
    """See that the venues' prices arrive."""
    for feed in FeedStatus.objects.all():
        age = now - feed.since
        if feed.state in UNHEALTHY and age > FEED:
            seen = f"{feed.state} for {aged(age)}: {feed.reason or 'no reason given'}"
            yield wrong(
                "feeds", feed.name, seen, "is the venue reachable from here? Nothing opens without fresh prices"
            )
        else:
            yield good("feeds", feed.name, f"{feed.state} for {aged(age)}")


def timetable(now: datetime) -> Iterator[Finding]:
    """See that beat rings: no enabled row is far behind."""
    rows = list(PeriodicTask.objects.filter(enabled=True).select_related("interval", "crontab"))
    off = PeriodicTask.objects.filter(enabled=False).values_list("name", flat=True)
    for name in off:
        yield note("timetable", name, "switched off", "switch it on in the admin (Timetable) unless that is meant")
    if not rows:
        yield wrong("timetable", "rows", "nothing is scheduled", "run `manage.py timetable`")
        return
    late = {row.name: behind for row in rows if (behind := _behind(row, now)) > LATE}
    rung = max((row.last_run_at for row in rows if row.last_run_at), default=None)
    if rung is None or len(late) == len(rows):
        seen = "beat has never rung" if rung is None else f"beat last rang {aged(now - rung)} ago"
        yield wrong("timetable", "beat", seen, "see beat.log; start the process beat. Stops do not depend on it")
        return
    for name, behind in sorted(late.items()):
        do = "see beat.log and the row in the admin (Timetable)"
        yield wrong("timetable", name, f"overdue by {aged(behind)}", do)
    yield good("timetable", "beat", f"rang {aged(now - rung)} ago, {len(rows)} rows")


def trading() -> Iterator[Finding]:
    """See that no exit waits, and tell where trading is stopped."""
    waiting = selectors.exits_waiting()
    age = _age(waiting.oldest)
    if waiting.exits and age > WAITING:
        do = "see worker-exits.log and sweeper.log now, then `manage.py verify`"
        yield wrong("trading", "exits", f"{waiting.exits} exits wait, the oldest for {aged(age)}", do)
    else:
        yield good("trading", "exits", f"{waiting.exits} exits wait")
    for row in selectors.restrictions():
        where = "the whole site" if row.scope == "site" else f"{row.scope} {row.target}"
        yield note("trading", "state", f"{where} is {row.state}: {row.reason}", "`manage.py resume` when that is over")


def _missing(names: set[str]) -> Iterator[Finding]:
    shards = {*range(settings.LISTENER_SHARDS), *_used_shards()}
    wanted = {f"listener:{shard}": f"manage.py listener --shard {shard}" for shard in sorted(shards)}
    wanted["sweeper"] = "manage.py sweeper"
    for name, command in wanted.items():
        if name not in names:
            yield wrong("processes", name, "was not seen within a day", f"start it: `{command}`")
    if not any(name in {"worker:exits", "worker:all"} or "exits" in name for name in names):
        do = "start worker-exits (see the Procfile); the sweeper works meanwhile"
        yield wrong("processes", "worker:exits", "no worker takes exits", do)


def _used_shards() -> set[int]:
    return set(Instrument.objects.filter(enabled=True).values_list("shard", flat=True))


def _led(now: datetime) -> Iterator[Finding]:
    for lease in Lease.objects.exclude(renewed_at=None):
        assert lease.renewed_at is not None
        age = now - lease.renewed_at
        if age > LEASE:
            do = "start one of them, or see its log: nobody does this work now"
            yield wrong("leaders", lease.name, f"nobody has led for {aged(age)}", do)
        else:
            yield good("leaders", lease.name, f"led by {lease.holder}")


def _behind(row: PeriodicTask, now: datetime) -> timedelta:
    """Return by how much a row is overdue; rows that have never run count from when they were changed."""
    since: datetime = row.last_run_at or row.date_changed
    if row.interval:
        return now - since - timedelta(**{row.interval.period: row.interval.every})
    left: timedelta = row.schedule.remaining_estimate(since)
    return -left


def _age(at: datetime | None) -> timedelta:
    if at is None:
        return timedelta(0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0]
        return found - at


def _ours(names: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Leave out packages that were taken out: their tables do no harm."""
    labels = {name.rpartition(".")[2] for name in settings.INSTALLED_APPS if name.startswith("apps.")}
    return {(app, name) for app, name in names if app in labels}
