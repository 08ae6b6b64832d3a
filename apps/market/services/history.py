"""Fetching candles from a venue's history: page by page, remembered as it goes, so that nothing is lost or done twice.

The candles of a page are stored first, the longer ones are made of them, and the page is remembered after that. A
process that dies in between fetches the page again and stores the same rows over themselves: no gap, no duplicate,
wherever it was killed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from apps.domain.errors import Problem, Refused
from apps.domain.spans import Span
from apps.market import selectors
from apps.market.feeds.base import VenueRest
from apps.market.feeds.candles import VenueCandle
from apps.market.feeds.rest import FeedUnavailable
from apps.market.models import Instrument
from apps.market.services import candles, coverage
from apps.market.services.venues import VenueUnavailable
from apps.market.store import StoreBusy, Timeframe, partitions
from apps.market.store import candles as store_candles
from apps.market.store.candles import CandleRow
from apps.market.store.timeframes import ceiling, floor

PAGE = 299  # buckets remembered at once: one less than most venues answer, as some count both ends
SETTLES = timedelta(seconds=60)  # after its end a candle may still change at the venue
_REPEATS = 3

_TRY = "SELECT pg_try_advisory_lock(hashtextextended('backfill.' || %s || '.' || %s, 0))"
_RELEASE = "SELECT pg_advisory_unlock(hashtextextended('backfill.' || %s || '.' || %s, 0))"


class AlreadyRunning(Refused):
    """Another process fetches the same candles at this moment."""

    def __init__(self, job: "Job") -> None:
        super().__init__(
            Problem(
                field="symbol",
                value=job.instrument.symbol,
                rule=f"its {job.timeframe} candles are being fetched by another process",
                remedy="wait for it to end; it leaves nothing out",
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The candles of one instrument to fetch; both ends start a bucket."""

    instrument: Instrument
    timeframe: Timeframe
    since: datetime
    until: datetime

    @property
    def buckets(self) -> int:
        """Return how many candles the span could hold."""
        return (self.until - self.since) // self.timeframe.width


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page that is stored and remembered."""

    span: Span
    buckets: int
    candles: int  # that the venue has; the other buckets are empty
    changed: int  # that were new or different


def plan(
    symbols: Sequence[str], timeframe: Timeframe, since: datetime, until: datetime | None, now: datetime
) -> list[Job]:
    """Return a job per instrument, every one for no symbols; refuses what makes no sense, all of it at once.

    A candle counts when it closed at least a minute ago.
    """
    problems = [*_wrong_span(since, until, now)]
    rows = Instrument.objects.filter(symbol__in=symbols) if symbols else Instrument.objects.filter(enabled=True)
    found = {row.symbol: row for row in rows}
    problems += [_unknown(symbol) for symbol in symbols if symbol not in found]
    if problems:
        raise Refused(*problems)
    width = timeframe.width
    last = min(ceiling(until or now, width), floor(now - SETTLES, width))
    first = floor(since, width)
    if first >= last:
        raise Refused(_problem("since", since, f"no {timeframe} candle of this span has closed", "start earlier"))
    jobs = [Job(instrument=found[s], timeframe=timeframe, since=first, until=last) for s in symbols or found]
    return list({job.instrument.pk: job for job in jobs}.values())


@contextmanager
def alone(job: Job) -> Iterator[None]:
    """Keep other processes from fetching the same candles. Raises AlreadyRunning when one does."""
    key = [job.instrument.pk, job.timeframe.value]
    with connection.cursor() as cursor:
        cursor.execute(_TRY, key)
        if not cursor.fetchone()[0]:
            raise AlreadyRunning(job)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(_RELEASE, key)


def left(job: Job, *, again: bool = False) -> list[Span]:
    """Return what is still to be fetched; with `again` everything."""
    if again:
        return [Span(job.since, job.until)]
    return coverage.missing(job.instrument.pk, job.timeframe, job.since, job.until)


def fetch(job: Job, rest: VenueRest, *, again: bool = False) -> Iterator[Page]:
    """Fetch what is left of a job and yield each page once it is stored and remembered.

    Raises VenueUnavailable and StoreUnavailable; the same job then goes on where it stopped.
    """
    partitions.ensure(selectors.market_store(), partitions.CANDLES[job.timeframe], job.since, job.until)
    for span in left(job, again=again):
        since = span.since
        while since < span.until:
            until = min(since + PAGE * job.timeframe.width, span.until)
            yield _fetch_page(job, rest, Span(since, until))
            since = until


def _fetch_page(job: Job, rest: VenueRest, span: Span) -> Page:
    try:
        found = rest.candles(job.instrument.symbol, int(job.timeframe.width.total_seconds()), *span)
    except FeedUnavailable as error:
        raise VenueUnavailable(str(error), permanent=error.permanent) from error
    except ValueError as error:  # how a venue's client says that it has no candles of this length
        raise Refused(_problem("timeframe", job.timeframe, str(error), "choose another one")) from error
    rows = [_row(job.instrument.pk, candle) for candle in found]
    changed = 0
    if rows:
        changed = _patiently(lambda: store_candles.write(selectors.market_store(), job.timeframe, rows))
        _patiently(lambda: candles.lengthen(job.instrument.pk, job.timeframe, *span))
    coverage.add(job.instrument.pk, job.timeframe, [span])
    buckets = (span.until - span.since) // job.timeframe.width
    return Page(span=span, buckets=buckets, candles=len(rows), changed=changed)


def _patiently(write: Callable[[], int]) -> int:
    """Store something; a writer that was in the way is gone at the next try."""
    for _ in range(_REPEATS):
        try:
            return write()
        except StoreBusy:
            continue
    return write()


def _row(instrument_id: int, candle: VenueCandle) -> CandleRow:
    return CandleRow(instrument_id, candle.opened_at, candle.open, candle.high, candle.low, candle.close, candle.volume)


def _wrong_span(since: datetime, until: datetime | None, now: datetime) -> Iterator[Problem]:
    if until is not None and until > now:
        yield _problem("until", until, "lies in the future", "leave it out for everything up to now")
    if since > now:
        yield _problem("since", since, "lies in the future", "name an instant of the past")
    elif until is not None and since >= until:
        yield _problem("since", since, f"is not before until, {until.isoformat()}", "swap them")


def _unknown(symbol: str) -> Problem:
    return _problem("symbol", symbol, "is no instrument of this site", "add it in the admin, or mind the spelling")


def _problem(field: str, value: object, rule: str, remedy: str) -> Problem:
    shown = value.isoformat() if isinstance(value, datetime) else str(value)
    return Problem(field=field, value=shown, rule=rule, remedy=remedy)
