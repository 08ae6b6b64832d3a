"""Each thing that can be wrong with the rows, files and backups of a site is caused, and the doctor names it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from pytest_django import Settings

from apps.journal.models import Lease, Pulse
from apps.market import store
from apps.market.models import FeedStatus
from apps.ops import timetable
from apps.ops.backups import shelf
from apps.ops.backups.models import BackupRun, Kind, Status
from apps.ops.doctor import Finding, Level, backups, machine, site
from apps.ops.servers.places import REPOSITORY
from apps.trading.models import Position
from tests import factories
from workers.timetable import JOBS

NOW = factories.now()
LONG_AGO = NOW - timedelta(hours=1)
ROLES = ("listener:0", "sweeper", "worker:exits", "worker:market,ops")


def wrong(found: Iterable[Finding]) -> list[tuple[str, str]]:
    """Name what is wrong; each of it says what to do."""
    found = list(found)
    assert all(one.do for one in found if one.level is Level.WRONG)
    return [(one.area, one.name) for one in found if one.level is Level.WRONG]


def pulse(name: str, age: timedelta = timedelta(0), pid: int = 1) -> None:
    at = NOW - age
    Pulse.objects.create(name=name, host="here", pid=pid, started_at=at, beat_at=at)


@pytest.fixture
def living(db: None) -> None:
    for name in ROLES:
        pulse(name)
    for name in ("listener:0", "sweeper"):
        Lease.objects.create(name=name, epoch=1, holder="here:1", renewed_at=NOW)


def test_a_site_that_does_not_run_is_one_sentence(db: None) -> None:
    assert wrong(site.processes(NOW)) == [("processes", "site")]


def test_living_processes_are_well(living: None) -> None:
    assert wrong(site.processes(NOW)) == []


def test_a_process_started_anew_is_not_missed_under_its_old_number(living: None) -> None:
    pulse("sweeper", timedelta(hours=2), pid=2)
    assert wrong(site.processes(NOW)) == []


@pytest.mark.parametrize("name", ROLES)
def test_a_silent_process_is_named(living: None, name: str) -> None:
    Pulse.objects.filter(name=name).update(beat_at=LONG_AGO)
    assert wrong(site.processes(NOW)) == [("processes", name)]


@pytest.mark.parametrize("name", ["listener:0", "sweeper", "worker:exits"])
def test_a_process_that_never_came_is_named(living: None, name: str) -> None:
    Pulse.objects.filter(name=name).delete()
    assert wrong(site.processes(NOW)) == [("processes", name)]


def test_a_shard_with_instruments_and_no_listener_is_named(living: None) -> None:
    factories.make_instrument(shard=1)
    assert wrong(site.processes(NOW)) == [("processes", "listener:1")]


def test_a_role_that_nobody_leads_is_named(living: None) -> None:
    Lease.objects.filter(name="sweeper").update(renewed_at=LONG_AGO)
    assert wrong(site.processes(NOW)) == [("leaders", "sweeper")]


@pytest.mark.parametrize("state", ["connecting", "stale", "down", "live"])
def test_a_feed_that_brings_nothing_is_named(db: None, state: str) -> None:
    FeedStatus.objects.create(name="coinbase:0", state=state, reason="http_403", since=LONG_AGO)
    assert wrong(site.feeds(NOW)) == ([] if state == "live" else [("feeds", "coinbase:0")])
    FeedStatus.objects.update(since=NOW)
    assert wrong(site.feeds(NOW)) == []


@pytest.fixture
def scheduled(db: None) -> None:
    timetable.complete(JOBS)
    PeriodicTask.objects.update(last_run_at=NOW)


def test_a_timetable_that_is_rung_is_well(scheduled: None) -> None:
    assert wrong(site.timetable(NOW)) == []


def test_no_timetable_is_named(db: None) -> None:
    assert wrong(site.timetable(NOW)) == [("timetable", "rows")]


def test_a_beat_that_stands_still_is_one_sentence(scheduled: None) -> None:
    PeriodicTask.objects.update(last_run_at=NOW - timedelta(days=3))
    assert wrong(site.timetable(NOW)) == [("timetable", "beat")]
    PeriodicTask.objects.update(last_run_at=None)
    assert wrong(site.timetable(NOW)) == [("timetable", "beat")]


def test_a_row_that_is_overdue_is_named_and_one_switched_off_is_told(scheduled: None) -> None:
    PeriodicTask.objects.filter(name="market.roll_up").update(last_run_at=LONG_AGO)
    PeriodicTask.objects.filter(name="ops.prune").update(enabled=False, last_run_at=LONG_AGO)
    found = list(site.timetable(NOW))
    assert wrong(found) == [("timetable", "market.roll_up")]
    assert [one.name for one in found if one.level is Level.NOTE] == ["ops.prune"]


def test_every_interval_is_understood(db: None) -> None:
    for period, _ in IntervalSchedule.PERIOD_CHOICES:
        every = IntervalSchedule.objects.create(every=1, period=period)
        PeriodicTask.objects.create(name=period, task="ops.prune", interval=every, last_run_at=NOW)
    assert wrong(site.timetable(NOW)) == []


def test_an_exit_that_waits_is_named(open_position: Callable[..., Position]) -> None:
    held = open_position(factories.stop("90"))
    factories.record([factories.crossing(factories.leg_of(held, "stop_loss"), "89")])
    assert wrong(site.trading()) == []
    with connection.cursor() as cursor:
        cursor.execute("UPDATE trading_exit SET recorded_at = recorded_at - interval '1 minute'")
    assert wrong(site.trading()) == [("trading", "exits")]


def test_tables_that_are_older_or_newer_than_the_code_are_named(db: None, tick_store: store.Store) -> None:
    assert wrong(site.migrations()) == []
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_migrations SET name = '9999_later' WHERE app = 'ops' AND name = '0001_backups'")
        try:
            assert wrong(site.migrations()) == [("tables", "site"), ("tables", "site")]
        finally:
            cursor.execute("UPDATE django_migrations SET name = '0001_backups' WHERE name = '9999_later'")


def test_a_store_without_its_tables_is_named(db: None, tick_store: store.Store, settings: Settings) -> None:
    settings.MARKET_DATABASE_URL = tick_store.url.rpartition("/")[0] + "/postgres"
    assert wrong(site.migrations()) == [("tables", "market")]
    settings.MARKET_DATABASE_URL = "postgres://app@127.0.0.1:1/market"
    assert wrong(site.migrations()) == [("tables", "market")]


@pytest.fixture
def backed_up(db: None, settings: Settings, tmp_path: Path) -> Path:
    """A site that is no demo, with last night's backup and last Sunday's drill."""
    settings.DEMO, settings.BACKUP_DIR, settings.VAR = False, tmp_path / "backups", tmp_path
    name = shelf.name_of(NOW)
    for kind in Kind:
        BackupRun.objects.create(kind=kind, status=Status.DONE, started_at=NOW, name=name, sentence="Well.")
    folder = Path(settings.BACKUP_DIR) / name
    folder.mkdir(parents=True)
    example = {"name": name, "version": "0", "at": NOW, "seconds": 1.0, "key": "", "dumps": []}
    written = shelf.Manifest(contents=shelf.manifest.Contents(), **example)  # type: ignore[arg-type]  # mixed values
    (folder / "manifest.json").write_text(shelf.manifest.text(written, None))
    return folder


def test_a_backup_of_last_night_is_well(backed_up: Path) -> None:
    assert wrong(backups.look(NOW)) == []


@pytest.mark.parametrize(("kind", "days"), [(Kind.BACKUP, 1.2), (Kind.DRILL, 8.1)])
def test_one_that_is_too_old_or_failed_since_is_named(backed_up: Path, kind: Kind, days: float) -> None:
    assert wrong(backups.look(NOW + timedelta(days=1))) == []
    BackupRun.objects.exclude(kind=kind).update(started_at=NOW + timedelta(days=days))
    assert wrong(backups.look(NOW + timedelta(days=days))) == [("backups", kind)]
    BackupRun.objects.create(kind=kind, status=Status.FAILED, started_at=NOW, sentence="The disk is full.")
    found = list(backups.look(NOW))
    assert wrong(found) == [("backups", kind)]
    assert any("The disk is full." in one.seen for one in found)


def test_a_backup_that_vanished_is_named(backed_up: Path) -> None:
    backed_up.rename(backed_up.with_suffix(".away"))
    assert wrong(backups.look(NOW)) == [("backups", "folder")]


def test_none_at_all_is_wrong_unless_it_is_the_demo(db: None, settings: Settings, tmp_path: Path) -> None:
    settings.DEMO, settings.BACKUP_DIR, settings.VAR = False, tmp_path / "none", tmp_path
    assert wrong(backups.look(NOW)) == [("backups", "backup"), ("backups", "drill")]
    settings.DEMO = True
    assert wrong(backups.look(NOW)) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WEB_HOST", "0.0.0.0", "address"),
        ("DEBUG", True, "debug"),
        ("LIVE_TRADING", True, "live"),
        ("CELERY_ACCEPT_CONTENT", ["json", "pickle"], "celery"),
        ("BACKUP_KEY_FILE", "/nowhere/key", "sealing"),
    ],
)
def test_settings_that_do_not_go_together_are_named(settings: Settings, name: str, value: object, said: str) -> None:
    settings.DEMO = True
    assert wrong(machine.configuration()) == []
    setattr(settings, name, value)
    assert wrong(machine.configuration()) == [("settings", said)]


def test_a_key_among_what_it_seals_or_open_to_others_is_named(settings: Settings, tmp_path: Path) -> None:
    settings.BACKUP_DIR, settings.VAR = tmp_path, tmp_path / "var"
    settings.KEY_FILE = tmp_path / "broker_keys"
    key = tmp_path / "backup.key"
    key.write_text("key")
    key.chmod(0o644)
    settings.BACKUP_KEY_FILE = str(key)
    assert ("settings", "sealing") in wrong(machine.configuration())
    assert wrong(machine.private_files()) == [("files", "BACKUP_KEY_FILE")]
    key.chmod(0o600)
    assert wrong(machine.private_files()) == []


def test_a_disk_with_little_room_is_named(tmp_path: Path) -> None:
    assert machine.room("state", tmp_path / "not" / "there", least=0).level is Level.OK
    assert wrong([machine.room("state", tmp_path, least=10**18)]) == [("disk", "state")]


def test_the_command_says_it_all_and_ends_with_status_1(tmp_path: Path, settings: Settings) -> None:
    away = "postgres://app:secretword@127.0.0.1:1/site"
    own = {"DATABASE_URL": away, "MARKET_DATABASE_URL": away, "TRADINGSITE_VAR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--json"],
        cwd=REPOSITORY,
        env={**os.environ, **own, "TRADINGSITE_EMBEDDED": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    answer = json.loads(done.stdout)
    assert answer["ok"] is False
    assert {"area", "name", "level", "seen", "do"} == answer["findings"][0].keys()
    assert ("database", "reachable", "wrong") in {(f["area"], f["name"], f["level"]) for f in answer["findings"]}
    assert "secretword" not in done.stdout + done.stderr
