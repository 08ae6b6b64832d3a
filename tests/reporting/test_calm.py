"""Quiet hours and digests in the person's own time zone, across the changes of clocks; waits that grow."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from apps.reporting.calm import Hours
from apps.reporting.pace import DELIVERY, Policy
from apps.reporting.severity import Severity, at_least

BERLIN = Hours(zone=ZoneInfo("Europe/Berlin"), quiet_from=time(22), quiet_until=time(7), digest_at=time(8, 30))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-11-21T20:59:59", None),
        ("2026-11-21T21:00:00", "2026-11-22T06:00:00"),
        ("2026-11-22T02:00:00", "2026-11-22T06:00:00"),
        ("2026-11-22T05:59:59", "2026-11-22T06:00:00"),
        ("2026-11-22T06:00:00", None),
        ("2026-07-01T20:30:00", "2026-07-02T05:00:00"),
        ("2026-03-28T23:00:00", "2026-03-29T05:00:00"),  # the night that loses an hour
        ("2026-10-24T22:00:00", "2026-10-25T06:00:00"),  # the night that gains one
    ],
)
def test_quiet_hours_over_midnight(at: str, until: str | None) -> None:
    assert BERLIN.quiet_until_after(utc(at)) == (utc(until) if until else None)


def test_quiet_hours_within_a_day() -> None:
    siesta = Hours(zone=ZoneInfo("UTC"), quiet_from=time(13), quiet_until=time(15))
    assert siesta.quiet_until_after(utc("2026-11-21T14:00:00")) == utc("2026-11-21T15:00:00")
    assert siesta.quiet_until_after(utc("2026-11-21T15:00:00")) is None


def test_an_end_in_the_hour_that_spring_skips_comes_right_after_it() -> None:
    odd = Hours(zone=ZoneInfo("Europe/Berlin"), quiet_from=time(23), quiet_until=time(2, 30))
    assert odd.quiet_until_after(utc("2026-03-29T00:30:00")) == utc("2026-03-29T01:30:00")


def test_the_digest_is_due_once_a_day() -> None:
    assert BERLIN.digest_after(utc("2026-11-21T07:29:59")) == utc("2026-11-21T07:30:00")
    assert BERLIN.digest_after(utc("2026-11-21T07:30:00")) == utc("2026-11-22T07:30:00")


def test_without_habits_nothing_is_held() -> None:
    assert Hours(zone=ZoneInfo("UTC")).quiet_until_after(utc("2026-11-21T03:00:00")) is None


def test_waits_grow_and_end() -> None:
    policy = Policy(first=timedelta(seconds=5), longest=timedelta(minutes=5), tries=3)
    waits = [policy.wait(failures).total_seconds() for failures in range(1, 9)]
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300]
    assert policy.wait(1, timedelta(minutes=10)) == timedelta(minutes=10)
    assert policy.wait(10**6) == timedelta(minutes=5)
    assert [policy.gives_up(tries) for tries in (2, 3)] == [False, True]


def test_a_provider_may_be_silent_for_a_day() -> None:
    silence = sum((DELIVERY.wait(failures) for failures in range(1, DELIVERY.tries)), timedelta(0))
    assert silence > timedelta(days=1)


def test_loudness_is_ordered() -> None:
    assert at_least(Severity.WARNING) == {Severity.WARNING, Severity.CRITICAL}
