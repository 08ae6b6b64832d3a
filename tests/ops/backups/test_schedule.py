"""Each night one backup and each week one drill, however often the bell rings and whatever was missed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from pytest_django import Settings

from apps.ops.backups import launching, schedule, shelf
from apps.ops.backups.models import BackupRun, Kind, Status
from apps.ops.backups.taking import Plan
from tests import factories

SATURDAY = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "now", "slot"),
    [
        pytest.param(Kind.BACKUP, SATURDAY.replace(hour=2), SATURDAY.replace(hour=2), id="at two"),
        pytest.param(Kind.BACKUP, SATURDAY.replace(hour=1), SATURDAY - timedelta(hours=22), id="before two"),
        pytest.param(Kind.BACKUP, SATURDAY.replace(hour=23), SATURDAY.replace(hour=2), id="late"),
        pytest.param(Kind.DRILL, SATURDAY, SATURDAY - timedelta(days=6, hours=-4), id="the last Sunday"),
        pytest.param(
            Kind.DRILL, SATURDAY + timedelta(days=1, hours=3), SATURDAY - timedelta(days=6, hours=-4), id="early"
        ),
        pytest.param(
            Kind.DRILL, SATURDAY + timedelta(days=1, hours=4), SATURDAY + timedelta(days=1, hours=4), id="now"
        ),
    ],
)
def test_a_slot_is_the_newest_instant_to_begin(kind: Kind, now: datetime, slot: datetime) -> None:
    assert schedule.slot(kind, now) == slot


@pytest.mark.django_db
def test_a_fortnight_of_bells_every_ten_minutes_makes_one_backup_a_night() -> None:
    now, begun = SATURDAY, []
    for _ in range(14 * 24 * 6):
        if schedule.due(Kind.BACKUP, now):
            begun.append(now)
            BackupRun.objects.create(kind=Kind.BACKUP, status=Status.DONE, started_at=now)
        now += timedelta(minutes=10)
    # The first one makes up for the night before.
    assert begun == [SATURDAY, *(SATURDAY + timedelta(days=day, hours=2) for day in range(14))]


@pytest.mark.django_db
def test_one_that_fails_is_tried_again_and_not_for_ever() -> None:
    tries = []
    for minute in range(0, 600, 10):
        now = SATURDAY + timedelta(hours=2, minutes=minute)
        if schedule.due(Kind.BACKUP, now):
            tries.append(minute)
            BackupRun.objects.create(kind=Kind.BACKUP, status=Status.FAILED, started_at=now)
    assert tries == [0, 30, 60]
    assert schedule.due(Kind.BACKUP, SATURDAY + timedelta(days=1, hours=2))


@pytest.fixture
def launched(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[psutil.Process]]:
    """The site's environment, and the processes started in it, which end with the test."""
    for name, value in {
        "DATABASE_URL": plan.site.url,
        "MARKET_DATABASE_URL": plan.market.url,
        "BACKUP_DIR": str(plan.shelf),
    }.items():
        monkeypatch.setenv(name, value)
    found: list[psutil.Process] = []
    yield found
    psutil.wait_procs(found, timeout=60)


def test_the_task_starts_it_once_and_does_not_wait(
    plan: Plan, launched: list[psutil.Process], settings: Settings
) -> None:
    pid = launching.when_due(Kind.BACKUP, now=factories.now())
    assert pid is not None
    launched.append(psutil.Process(pid))
    launched[0].wait(timeout=60)
    run = BackupRun.objects.get()
    assert run.status == Status.DONE, (Path(settings.VAR) / "log" / "backup.log").read_text()
    assert list(shelf.finished(plan.shelf)) == [run.name]
    assert launching.when_due(Kind.BACKUP, now=factories.now()) is None
