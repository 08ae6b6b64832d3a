"""Slots become runs, runs are claimed once, settle once, and are taken again when a worker dies."""

import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest
from django.conf import settings
from django.db import connection

from apps.domain.errors import Refused, Unavailable
from apps.domain.usual_rules import USUAL, Usual
from apps.journal.models import Event, Lease
from apps.ops.jobs import asking, running, selectors, tending, ticking
from apps.ops.jobs.models import Job, JobRun, State
from tests.domain import newyork
from tests.ops import jobs_world
from tests.ops.jobs_world import lead, make_job

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def epoch() -> int:
    Lease.objects.create(name=ticking.ROLE, epoch=7)
    return 7


def hourly(**more: object) -> Job:
    return make_job("hourly", "every 1h in session", now=NOON, **{"calendar": "24/7", **more})


def states(job: Job) -> dict[str, str]:
    return {f"{run.slot:%d %H:%M}": run.state for run in job.runs.order_by("slot")}


def claim(run: JobRun, now: datetime = NOON + HOUR, worker: str = "w host:1") -> running.Claimed | None:
    return running.claim(run.pk, worker=worker, now=now, limit=lambda task: MINUTE)


def events(kind: str) -> list[dict[str, object]]:
    return [event.payload for event in Event.objects.filter(kind=kind)]


# Slots


def test_a_slot_becomes_a_run_when_it_comes_and_only_once(epoch: int) -> None:
    job = hourly()
    assert ticking.tick(NOON - timedelta(seconds=1), epoch=epoch).made == 0
    assert ticking.tick(NOON, epoch=epoch).made == 1
    assert ticking.tick(NOON + MINUTE, epoch=epoch).made == 0
    assert ticking.tick(NOON + HOUR, epoch=epoch).made == 1
    assert states(job) == {"02 12:00": "waiting", "02 13:00": "waiting"}
    assert {run.epoch for run in job.runs.all()} == {7}
    job.refresh_from_db()
    assert job.next_at == NOON + 2 * HOUR


@pytest.mark.parametrize(
    ("missed", "kept"),
    [
        pytest.param("all", ["waiting"] * 4, id="all"),
        pytest.param("latest", ["skipped", "skipped", "skipped", "waiting"], id="latest"),
        pytest.param("skip", ["skipped"] * 4, id="none"),
    ],
)
def test_missed_slots_are_made_up_for_as_the_job_says(epoch: int, missed: str, kept: list[str]) -> None:
    job = hourly(missed=missed)
    ticking.tick(NOON + 3 * HOUR + 10 * MINUTE, epoch=epoch)
    assert list(states(job).values()) == kept
    skipped = [event["slots"] for event in events("job.skipped")]
    assert skipped == [kept.count("skipped")] * ("skipped" in kept), "one event, not one a slot"


def test_a_slot_within_its_grace_is_not_missed(epoch: int) -> None:
    job = hourly(missed="skip", grace=10 * MINUTE)
    ticking.tick(NOON + HOUR + 10 * MINUTE, epoch=epoch)
    assert states(job) == {"02 12:00": "skipped", "02 13:00": "waiting"}


def test_a_long_outage_is_written_in_pieces(epoch: int) -> None:
    job = make_job("often", "every 1m in session", now=NOON, calendar="24/7", missed="latest")
    until = NOON + 20 * HOUR
    for _ in range(4):
        ticking.tick(until, epoch=epoch)
    found = Counter(job.runs.values_list("state", flat=True))
    assert found == {"skipped": 1195, "waiting": 6}, "20 hours and the first minute; five minutes of grace"
    assert ticking.tick(until, epoch=epoch) == ticking.Ticked()


def test_an_epoch_that_does_not_lead_writes_nothing(epoch: int) -> None:
    job = hourly()
    with pytest.raises(ticking.Deposed):
        ticking.tick(NOON, epoch=epoch - 1)
    assert not job.runs.exists()
    job.refresh_from_db()
    assert job.next_at is None


def test_a_rule_without_an_answer_says_why_and_goes_on_when_it_has_one(epoch: int) -> None:
    job = make_job("close", "at close", now=datetime(2026, 3, 2, 12, tzinfo=UTC))
    assert ticking.tick(NOON, epoch=epoch).made == 0
    job.refresh_from_db()
    assert "calendars refresh XNYS" in job.problem
    assert [each.name for each in selectors.unanswered()] == ["close"]
    jobs_world.store_sessions()
    ticking.tick(NOON + 10 * HOUR, epoch=epoch)
    job.refresh_from_db()
    assert job.problem == ""
    assert states(job) == {"02 21:00": "waiting"}, "the slot of the time without an answer is not lost"
    assert job.next_at == newyork.instant("2026-03-03 16:00")


def test_a_job_of_its_own_time_zone(epoch: int) -> None:
    job = make_job("nine in Tokyo", "at 09:00", now=NOON, calendar="24/7", zone="Asia/Tokyo")
    ticking.tick(NOON, epoch=epoch)
    job.refresh_from_db()
    assert job.next_at == datetime(2026, 3, 3, 0, tzinfo=UTC)


# Of each usual rule (001-53 to 001-77), in New York: its first slot since Wednesday 2026-11-25, and since Thanksgiving.
FIRST = {
    "market-data": ("11-25 09:30", "11-27 09:30"), "run-strategies": ("11-25 09:30", "11-27 09:30"),
    "daily-report": ("11-25 17:00", "11-27 17:00"), "backup": ("11-25 02:00", "11-26 02:00"),
    "cleaning": ("11-29 03:00", "11-29 03:00"), "market-open": ("11-25 09:30", "11-27 09:30"),
    "market-close": ("11-25 16:00", "11-27 13:00"), "pre-market": ("11-25 04:00", "11-27 04:00"),
    "after-hours": ("11-25 16:00", "11-27 13:00"), "every-minute": ("11-25 09:30", "11-27 09:30"),
    "every-5-minutes": ("11-25 09:30", "11-27 09:30"), "every-15-minutes": ("11-25 09:30", "11-27 09:30"),
    "every-hour": ("11-25 09:30", "11-27 09:30"), "morning-preparation": ("11-25 08:00", "11-27 08:00"),
    "weekly-report": ("11-27 18:00", "11-27 18:00"), "monthly-report": ("11-30 18:00", "11-30 18:00"),
    "month-end": ("11-30 18:00", "11-30 18:00"), "trading-days": ("11-25 00:00", "11-27 00:00"),
    "weekdays": ("11-25 00:00", "11-26 00:00"),
}  # fmt: skip


@pytest.mark.parametrize("usual", USUAL, ids=lambda usual: usual.name)
def test_whatever_the_sources_scheduled_is_a_job(epoch: int, usual: Usual) -> None:
    jobs_world.store_sessions()
    starts = [newyork.instant(f"2026-11-{day} 00:00") for day in (25, 26)]
    job = make_job(usual.name, usual.text, now=starts[0], calendar=usual.calendar)
    found = []
    for at in starts:
        Job.objects.update(served_until=at, next_at=None)
        ticking.tick(at - timedelta(seconds=1), epoch=epoch)
        job.refresh_from_db()
        found.append(newyork.shown([job.next_at])[0].removeprefix("2026-") if job.next_at else job.problem)
    assert tuple(found) == FIRST[usual.name]


# Runs


def test_a_run_is_claimed_once_and_keeps_what_came_of_it() -> None:
    run = asking.run_now(hourly(kwargs={"a": 1}).pk, actor="ann", now=NOON)
    mine = claim(run)
    assert mine is not None
    assert (mine.task, mine.kwargs, mine.slot, mine.attempt) == ("ops.prune", {"a": 1}, NOON, 1)
    assert claim(run) is None
    with running.Settling(mine, lambda: NOON + HOUR + MINUTE) as work:
        work.result = {"rows": 3}
    run.refresh_from_db()
    assert (run.state, run.duration, run.result) == ("done", MINUTE, '{"rows": 3}')
    assert claim(run) is None, "a message that comes twice does nothing"


def test_a_bug_fails_the_run_at_once_and_passes_on() -> None:
    run = asking.run_now(hourly().pk, actor="ann", now=NOON)
    mine = claim(run)
    assert mine is not None
    with pytest.raises(ZeroDivisionError), running.Settling(mine, lambda: NOON + HOUR):
        _ = 1 / 0
    run.refresh_from_db()
    assert (run.state, run.error) == ("failed", "ZeroDivisionError: division by zero")
    assert [event["error"] for event in events("job.failed")] == [run.error]
    assert [each.pk for each in selectors.failing()] == [run.pk]


def test_what_is_unavailable_is_tried_again_later_and_given_up_in_the_end() -> None:
    run = asking.run_now(hourly(attempts=2).pk, actor="ann", now=NOON)
    mine = claim(run)
    assert mine is not None
    with running.Settling(mine, lambda: NOON + HOUR):
        raise Unavailable("the venue is silent")
    run.refresh_from_db()
    assert (run.state, run.due_at) == ("waiting", NOON + HOUR + running.FIRST_PAUSE)
    assert claim(run) is None, "not before its time"
    mine = claim(run, NOON + 2 * HOUR)
    assert mine is not None
    with pytest.raises(Unavailable), running.Settling(mine, lambda: NOON + 2 * HOUR):
        raise Unavailable("the venue is silent")
    run.refresh_from_db()
    assert (run.state, run.attempts) == ("failed", 2)


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 30), (2, 60), (3, 120), (6, 900), (20, 900)], ids=str)
def test_pauses_double_up_to_a_quarter_of_an_hour(attempt: int, seconds: int) -> None:
    assert running.pause(attempt) == timedelta(seconds=seconds)


def test_asking_whether_it_is_over_is_no_attempt() -> None:
    run = asking.run_now(hourly(attempts=1).pk, actor="ann", now=NOON)
    for count in range(3):
        mine = claim(run, NOON + count * HOUR)
        assert mine is not None
        with running.Settling(mine, lambda: NOON):
            raise running.NotYet("it runs", after=MINUTE)
        run.refresh_from_db()
        assert (run.state, run.attempts, run.result) == ("waiting", 0, "it runs")


def test_a_worker_that_is_told_to_end_gives_its_run_back() -> None:
    run = asking.run_now(hourly(attempts=1).pk, actor="ann", now=NOON)
    mine = claim(run)
    assert mine is not None
    with pytest.raises(SystemExit), running.Settling(mine, lambda: NOON + HOUR):
        raise SystemExit
    assert claim(run, NOON + 2 * HOUR) is not None


def test_a_run_whose_worker_was_killed_is_taken_again_and_the_dead_settle_nothing() -> None:
    run = asking.run_now(hourly(attempts=2).pk, actor="ann", now=NOON)
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = f"worker {settings.HOST_NAME}:{worker.pid}"
    first = claim(run, worker=name)
    assert first is not None
    assert tending.revive(NOON + HOUR) == 0, "it lives"
    worker.kill()
    worker.communicate()
    assert tending.revive(NOON + HOUR) == 1
    assert [call.run_id for call in tending.to_call(NOON + HOUR)] == [run.pk]
    second = claim(run, worker=name)
    assert second is not None
    assert not running.settle(first, None, now=NOON + HOUR), "the first attempt is not this run any more"
    assert tending.revive(NOON + HOUR) == 1
    run.refresh_from_db()
    assert (run.state, run.attempts) == ("failed", 2)
    assert len(events("job.failed")) == 1


def test_a_worker_elsewhere_is_taken_for_dead_when_its_time_is_over() -> None:
    run = asking.run_now(hourly().pk, actor="ann", now=NOON)
    assert claim(run, worker="worker elsewhere:1") is not None
    assert tending.revive(NOON + HOUR + MINUTE - timedelta(seconds=1)) == 0
    assert tending.revive(NOON + HOUR + MINUTE) == 1


def test_a_lost_call_is_made_again() -> None:
    run = asking.run_now(hourly().pk, actor="ann", now=NOON)
    assert tending.to_call(NOON) == [(run.pk, "ops.prune")]
    tending.called([run.pk], NOON)
    assert tending.to_call(NOON + tending.RING_AGAIN - timedelta(seconds=1)) == []
    assert tending.to_call(NOON + tending.RING_AGAIN) == [(run.pk, "ops.prune")]


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_called_to_one_run_one_takes_it() -> None:
    run = asking.run_now(hourly().pk, actor="ann", now=NOON)
    barrier, taken = Barrier(8), []

    def work(number: int) -> None:
        barrier.wait()
        taken.append(claim(run, worker=f"w host:{number}"))
        connection.close()

    _together(work, 8)
    assert sum(each is not None for each in taken) == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_beats_that_believe_they_lead_one_writes_each_slot() -> None:
    """Even with the same epoch: the job's row and the index hold what the lease no longer does."""
    epoch, job, barrier = lead(), hourly(), Barrier(6)

    def work(_number: int) -> None:
        barrier.wait()
        for hour in range(5):
            ticking.tick(NOON + hour * HOUR, epoch=epoch)
        connection.close()

    _together(work, 6)
    assert list(states(job).values()) == ["waiting"] * 5


@pytest.mark.django_db(transaction=True)
def test_without_the_lock_on_the_row_and_the_index_slots_double() -> None:
    """The negative control: what `tick` writes, by six who read first and write then."""
    job, barrier = hourly(), Barrier(6)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE ops_jobrun DROP CONSTRAINT jobrun_one_per_slot")

    def work(_number: int) -> None:
        known = Job.objects.get(pk=job.pk)
        barrier.wait()
        ticking._write(known, [NOON], NOON, 1)
        connection.close()

    try:
        _together(work, 6)
        assert job.runs.count() == 6
    finally:
        job.runs.all().delete()
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE ops_jobrun ADD CONSTRAINT jobrun_one_per_slot UNIQUE (job_id, slot)")


def _together(work: object, count: int) -> None:
    threads = [Thread(target=work, args=(number,)) for number in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


# People


def test_a_person_runs_a_paused_job_once_and_not_twice_at_a_time() -> None:
    job = hourly(enabled=False)
    run = asking.run_now(job.pk, actor="ann", now=NOON)
    assert (run.asked_by, run.epoch, run.state) == ("ann", 0, State.WAITING)
    with pytest.raises(Refused, match="ann asked already"):
        asking.run_now(job.pk, actor="bob", now=NOON + MINUTE)
    assert [event.actor for event in Event.objects.filter(kind="job.requested")] == ["ann"]


def test_a_paused_job_makes_up_for_nothing_of_its_pause(epoch: int) -> None:
    job = hourly(missed="all")
    assert asking.switch(job.pk, enabled=False, actor="ann", now=NOON)
    assert not asking.switch(job.pk, enabled=False, actor="ann", now=NOON)
    assert ticking.tick(NOON + 3 * HOUR, epoch=epoch).made == 0
    assert asking.switch(job.pk, enabled=True, actor="ann", now=NOON + 3 * HOUR + MINUTE)
    ticking.tick(NOON + 4 * HOUR, epoch=epoch)
    assert states(job) == {"02 16:00": "waiting"}
    assert [event["changes"] for event in events("job.changed")] == [{"enabled": "True"}, {"enabled": "False"}]


def test_a_rule_that_was_changed_is_due_from_now_on(epoch: int) -> None:
    job = hourly(missed="all")
    ticking.tick(NOON, epoch=epoch)
    job.refresh_from_db()
    job.rule = "every 30m in session"
    asking.changed(job, {"rule": job.rule}, actor="ann", now=NOON + 50 * MINUTE)
    ticking.tick(NOON + 90 * MINUTE, epoch=epoch)
    assert states(job) == {"02 12:00": "waiting", "02 13:00": "waiting", "02 13:30": "waiting"}


def test_the_process_of_this_test_is_alive() -> None:
    assert not tending._is_gone(f"worker {settings.HOST_NAME}:{os.getpid()}")
