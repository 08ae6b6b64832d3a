"""Stretches of time, each with its start and without its end: joined, taken away from one another, cut, measured."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple


class Span(NamedTuple):
    """The instants from `since` up to, and without, `until`."""

    since: datetime
    until: datetime

    def overlaps(self, other: "Span") -> bool:
        """Say whether the two share an instant."""
        return self.since < other.until and other.since < self.until


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return the same instants as sorted spans that neither overlap nor touch; empty ones vanish."""
    result: list[Span] = []
    for since, until in sorted(spans):
        if until <= since:
            continue
        if result and since <= result[-1].until:
            result[-1] = Span(result[-1].since, max(result[-1].until, until))
        else:
            result.append(Span(since, until))
    return result


def without(spans: Iterable[Span], taken: Iterable[Span]) -> list[Span]:
    """Return what is left of the spans when the taken ones are cut out."""
    cuts = merged(taken)
    return [left for span in merged(spans) for left in _left(span, cuts)]


def within(spans: Iterable[Span], frame: Span) -> list[Span]:
    """Return the part of the spans that lies in the frame."""
    return merged(Span(max(since, frame.since), min(until, frame.until)) for since, until in spans)


def length(spans: Iterable[Span]) -> timedelta:
    """Return how long the spans are together, instants in several of them counted once."""
    return sum((until - since for since, until in merged(spans)), timedelta(0))


def _left(span: Span, cuts: list[Span]) -> Iterator[Span]:
    since = span.since
    for cut in cuts:
        if cut.until <= since:
            continue
        if cut.since >= span.until:
            break
        if cut.since > since:
            yield Span(since, cut.since)
        since = cut.until
    if since < span.until:
        yield Span(since, span.until)
