"""When a job is due, as the calendar rules say it: its rule read, and asked on the stored sessions of its calendar."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Final

from apps.domain import due, exchanges, rule_text
from apps.domain.calendar_rules import AtTime, Rule, RuleRefused
from apps.domain.calendars import Calendar, NotCovered, Reach, Session
from apps.domain.due import NeverDue
from apps.market.calendars import stored
from apps.ops.jobs.models import Job

# Why a job may have no next run: its rule, its calendar, or the table of its calendar is wrong.
UNANSWERED: Final = (RuleRefused, NeverDue, NotCovered, exchanges.UnknownCalendar)


class Answers:
    """Answers for one moment: what was read of a calendar for one job is not read again for the next."""

    def __init__(self) -> None:
        self._calendars: dict[str, Calendar] = {}

    def slots(self, job: Job, since: datetime, until: datetime) -> list[datetime]:
        """Return the slots of [since, until), in order. Raises what UNANSWERED lists."""
        return due.slots(rule_of(job), self._calendar(job), since, until)

    def next_after(self, job: Job, at: datetime) -> datetime:
        """Return the first slot after an instant. Raises what UNANSWERED lists."""
        return due.next_after(rule_of(job), self._calendar(job), at)

    def _calendar(self, job: Job) -> Calendar:
        if job.calendar not in self._calendars:
            self._calendars[job.calendar] = _Remembered(stored.of(job.calendar))
        return self._calendars[job.calendar]


class _Remembered:
    """A calendar that reads each stretch of its table once."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self.name, self.zone = calendar.name, calendar.zone
        self._read: dict[tuple[date, date], Sequence[Session]] = {}

    @property
    def reach(self) -> Reach:
        """Return what the table spans. Raises NotCovered when it is empty."""
        return self._calendar.reach

    def sessions(self, since: date, until: date) -> Sequence[Session]:
        """Return the sessions of some days."""
        if (since, until) not in self._read:
            self._read[since, until] = self._calendar.sessions(since, until)
        return self._read[since, until]


def rule_of(job: Job) -> Rule:
    """Return the rule of a job; a time of day without a zone is in the job's. Raises RuleRefused."""
    rule = rule_text.parse(job.rule)
    if job.zone and isinstance(rule.moment, AtTime) and rule.moment.zone is None:
        return replace(rule, moment=replace(rule.moment, zone=job.zone))
    return rule


def sentence(error: Exception) -> str:
    """Say in a line why there is no next run."""
    return " ".join(str(error).split()) or type(error).__name__
