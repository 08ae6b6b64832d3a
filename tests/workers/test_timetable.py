"""The timetable as rows: made when missing, never overwritten, started by a real beat."""

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.core.management import CommandError, call_command
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from apps.ops import processes, timetable
from apps.ops.jobs.models import Job, JobRun
from tests.workers.conftest import PREFIX, eventually, running
from workers.timetable import JOBS, PLANNED

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> dict[str, list[str]]:
    out = StringIO()
    call_command("timetable", "--json", *arguments, stdout=out)
    found: dict[str, list[str]] = json.loads(out.getvalue())
    return found


def test_missing_rows_are_made_once() -> None:
    assert set(run()["created"]) == {job.name for job in (*JOBS, *PLANNED)}
    assert run()["created"] == []
    row = PeriodicTask.objects.get(name="strategies.run_due")
    assert (row.task, row.interval.every, row.interval.period) == ("strategies.run_due", 1, "seconds")
    assert row.enabled
    assert row.queue is None, "the queue follows from the task's name"


def test_what_a_person_changed_stays() -> None:
    run()
    slow = IntervalSchedule.objects.create(every=7, period="minutes")
    PeriodicTask.objects.filter(name="market.roll_up").update(interval=slow, enabled=False)
    found = run()
    assert found["edited"] == ["market.roll_up"]
    assert found["switched_off"] == ["market.roll_up"]
    row = PeriodicTask.objects.get(name="market.roll_up")
    assert (row.interval, row.enabled) == (slow, False)


def test_rows_that_the_code_does_not_know_are_reported_and_left_alone() -> None:
    every = IntervalSchedule.objects.create(every=1, period="days")
    PeriodicTask.objects.create(name="somebody's own", task="ops.prune", interval=every)
    assert run()["unknown"] == ["somebody's own"]
    assert PeriodicTask.objects.filter(name="somebody's own").exists()


def test_check_changes_nothing_and_fails_while_rows_are_missing() -> None:
    with pytest.raises(CommandError, match=r"strategies\.run_due") as refused:
        run("--check")
    assert refused.value.returncode == 1
    assert not PeriodicTask.objects.exists()
    assert not Job.objects.exists()
    run()
    assert run("--check")["missing"] == []


def test_what_a_person_changed_of_a_calendar_job_stays() -> None:
    run()
    Job.objects.filter(name="ops.backup").update(rule="at 05:00 UTC", enabled=False)
    Job.objects.create(name="somebody's own", task="ops.prune", rule="at 06:00")
    found = run()
    assert (found["edited"], found["switched_off"]) == (["ops.backup"], ["ops.backup"])
    assert found["unknown"] == ["somebody's own"]
    assert Job.objects.get(name="ops.backup").rule == "at 05:00 UTC"


def test_every_planned_job_can_be_a_row() -> None:
    run()
    for job in Job.objects.all():
        job.full_clean()


def test_a_job_of_an_older_version_moves_to_the_calendar_as_it_was() -> None:
    every = IntervalSchedule.objects.create(every=10, period="minutes")
    PeriodicTask.objects.create(name="ops.backup", task="ops.backup", interval=every, enabled=False)
    assert "ops.backup" in run()["created"]
    assert not PeriodicTask.objects.filter(name="ops.backup").exists()
    assert not Job.objects.get(name="ops.backup").enabled


def test_a_new_site_learns_the_trading_hours_at_once() -> None:
    run()
    run_ = JobRun.objects.get()
    assert (run_.job.name, run_.state) == ("market.calendars", "waiting")
    run()
    assert JobRun.objects.count() == 1


def test_what_comes_next_is_listed_with_the_last_run() -> None:
    run()
    out = StringIO()
    call_command("timetable", "--next", "--json", stdout=out)
    rows = {row["name"]: row for row in json.loads(out.getvalue())}
    assert rows.keys() == {each.name for each in PLANNED}
    assert rows["ops.drill"]["rule"] == "at 04:00 UTC on Sun"
    call_command("timetable", "--next", stdout=out)


def test_a_person_reads_one_line_per_job() -> None:
    out = StringIO()
    call_command("timetable", stdout=out)
    lines = out.getvalue().splitlines()
    assert len(lines) == len(JOBS) + len(PLANNED)
    assert all("created" in line for line in lines)


def test_no_job_waits_longer_than_it_is_worth() -> None:
    assert all(timedelta(0) < job.expires <= max(job.every, timedelta(seconds=5)) for job in JOBS)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_migrated_store")
def test_beat_starts_the_jobs_on_their_queues(database_url: str, broker: "redis.Redis", tmp_path: Path) -> None:
    timetable.complete(JOBS)
    beat = next(child for child in processes.children(settings, flower_password="x") if child.name == "beat")
    environment = {"DATABASE_URL": database_url, "CELERY_SKIP_CHECKS": "1"}
    with running(*beat.argv[1:], environment=environment, log=tmp_path / "beat.log"):
        queue = f"{PREFIX}strategies"
        eventually(lambda: broker.llen(queue) >= 2, 20, (tmp_path / "beat.log").read_text)
    message = json.loads(broker.lindex(queue, 0))
    assert message["headers"]["task"] == "strategies.run_due"
    assert message["headers"]["expires"] is not None
