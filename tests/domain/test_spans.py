"""Stretches of time behave like sets of instants."""

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from apps.domain import spans
from apps.domain.spans import Span

START = datetime(2026, 1, 1, tzinfo=UTC)
HOURS = 24


def at(hour: int) -> datetime:
    return START + timedelta(hours=hour)


SPANS = st.lists(
    st.tuples(st.integers(0, HOURS), st.integers(0, HOURS)).map(lambda pair: Span(at(pair[0]), at(pair[1]))),
    max_size=8,
)


def hours(found: list[Span]) -> set[int]:
    return {hour for since, until in found for hour in range(HOURS) if since <= at(hour) < until}


@given(SPANS)
def test_merged_spans_hold_the_same_instants_and_neither_overlap_nor_touch(some: list[Span]) -> None:
    found = spans.merged(some)
    assert hours(found) == hours(some)
    assert all(first.until < second.since for first, second in itertools.pairwise(found))


@given(SPANS, SPANS)
def test_what_is_taken_away_is_gone_and_nothing_else(some: list[Span], taken: list[Span]) -> None:
    assert hours(spans.without(some, taken)) == hours(some) - hours(taken)


@given(SPANS, st.integers(0, HOURS), st.integers(0, HOURS))
def test_a_frame_cuts_off_what_is_outside(some: list[Span], since: int, until: int) -> None:
    frame = Span(at(since), at(until))
    assert hours(spans.within(some, frame)) == hours(some) & hours([frame])


@given(SPANS)
def test_an_instant_in_several_spans_counts_once(some: list[Span]) -> None:
    assert spans.length(some) == timedelta(hours=len(hours(some)))


def test_spans_that_only_touch_do_not_overlap() -> None:
    assert not Span(at(0), at(1)).overlaps(Span(at(1), at(2)))
    assert Span(at(0), at(2)).overlaps(Span(at(1), at(3)))
