"""A simulated year of New York: exactly one run per (job, slot) although the beat is killed a hundred times."""

import os
import random
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from apps.ops.jobs.models import JobRun, State
from tests.ops import jobs_world, jobs_year
from tests.ops.jobs_world import CASES, expected

KILLS = int(os.environ.get("JOBS_YEAR_KILLS", "100"))


@pytest.mark.faults
@pytest.mark.django_db(transaction=True)
def test_a_year_with_a_hundred_kills_runs_every_slot_once(tmp_path: Path) -> None:
    jobs_world.store_sessions()
    for name, (rule, _, _) in CASES.items():
        jobs_world.make_job(name, rule)
    jobs_world.make_job("only what is in time", "at close", missed="skip")
    wanted = {(name, slot) for name in CASES for slot in expected(name)}
    ticks = len({slot for _, slot in wanted})

    with jobs_year.forked(jobs_year.worker(tmp_path / "effects")):
        killed = jobs_year.live_through(KILLS, ticks, random.Random(20261121))
        deadline = time.monotonic() + 60
        while JobRun.objects.filter(state__in=(State.WAITING, State.RUNNING)).exists():
            assert time.monotonic() < deadline, "the worker does not get done"
            time.sleep(0.05)

    assert killed >= KILLS
    runs = JobRun.objects.filter(job__name__in=CASES).select_related("job")
    assert Counter((run.job.name, run.slot) for run in runs) == Counter(wanted)
    assert {run.state for run in runs} == {State.DONE}
    done = Counter(tuple(line.split("\t")) for line in (tmp_path / "effects").read_text().splitlines())
    effects = {(name, datetime.fromisoformat(slot)): count for (name, slot), count in done.items() if name in CASES}
    assert effects == dict.fromkeys(wanted, 1)


def test_the_reckoning_knows_the_days_that_are_unlike_others() -> None:
    """What the year is compared with: by hand, in UTC."""
    shown = {name: [f"{slot:%m-%d %H:%M}" for slot in expected(name)] for name in CASES}
    assert {"03-06 14:30", "03-09 13:30", "10-30 13:30", "11-02 14:30"} <= set(shown["at the open"])
    assert {"11-25 20:45", "11-27 17:45", "12-24 17:45"} <= set(shown["before the close"])
    assert {"03-01 07:30", "03-08 07:00", "03-15 06:30", "10-25 06:30", "11-01 07:30"} <= set(
        shown["in the skipped hour"]
    )
    assert {"11-01 05:30", "11-08 06:30"} <= set(shown["in the hour that comes twice"])
    assert {"04-02 22:00", "07-02 22:00", "12-24 23:00", "12-31 23:00"} <= set(shown["on Friday"])
    assert "11-30 23:00" in shown["at the end of the month"]
    assert "10-31 22:00" in shown["on the last day"], "a Saturday"
    assert "11-26 14:30" not in shown["at the open"], "Thanksgiving"
    assert datetime(2026, 5, 29, 22, tzinfo=UTC) in expected("at the end of the month")
