"""Jobs by the calendar: a beat looks, every job knows its next run, workers take runs, and the last ones went well."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from apps.journal import pulses
from apps.ops.doctor.finding import Finding, aged, good, note, wrong
from apps.ops.jobs import selectors
from apps.ops.jobs.ticking import ROLE

BEHIND: Final = timedelta(seconds=30)  # the beat looks four times a second
WAITING: Final = timedelta(minutes=3)
SILENT: Final = timedelta(seconds=10)


def look(now: datetime) -> Iterator[Finding]:
    """See that slots become runs, that runs are taken, and how they went."""
    counted = selectors.tally()
    if not counted["jobs"]:
        yield wrong("jobs", "rows", "no job is planned", "run `manage.py timetable`")
        return
    yield from _beat(now)
    for job in selectors.unanswered():
        yield wrong(
            "jobs", job.name, f"has no next run: {job.problem}", "do what it says, or edit the job in the admin"
        )
    for run in selectors.waiting(now, longer_than=WAITING):
        seen = f"a run has waited {aged(now - run.due_at)} for a worker"
        yield wrong("jobs", run.job.name, seen, f"does a worker for `{run.job.task}` run? Is it busy?")
    for run in selectors.failing():
        yield wrong("jobs", run.job.name, f"the last run failed: {run.error}", "see the run in the admin; run it again")
    if counted["enabled"] < counted["jobs"]:
        off = counted["jobs"] - counted["enabled"]
        yield note("jobs", "paused", f"{off} of {counted['jobs']} are paused", "resume them unless that is meant")


def _beat(now: datetime) -> Iterator[Finding]:
    late = selectors.overdue(now, by=BEHIND)
    beats = pulses.alive(ROLE, now=now, within=SILENT)
    leads = sum(1 for beat in beats if beat.facts.get("leads"))
    if late:
        worst = max(now - job.next_at for job in late if job.next_at)
        seen = f"{len(late)} jobs are overdue, by up to {aged(worst)}; {len(beats)} beats are alive, {leads} lead"
        yield wrong("jobs", "beat", seen, "see beat.log; start the process beat")
    else:
        yield good("jobs", "beat", f"{len(beats)} alive, {leads} lead; no job is overdue")
