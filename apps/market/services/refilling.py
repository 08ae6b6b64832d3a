"""Mending gaps: missing trades are asked for by number; where the venue has them no longer, its candles stand in."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

from django.db import connection
from django.db.models import QuerySet

from apps.domain.spans import Span
from apps.market import selectors
from apps.market.feeds.base import VenueRest
from apps.market.feeds.rest import FeedUnavailable
from apps.market.models import Gap, Instrument
from apps.market.services import gaps, history, venues
from apps.market.services.history import Job
from apps.market.services.venues import VenueUnavailable
from apps.market.store import ticks as store_ticks
from apps.market.store.timeframes import ceiling, floor

REACH = timedelta(days=30)  # an older gap is left to `manage.py backfill`: it may be meant
PAGES = 100  # questions to venues in one run, about 12 seconds at the usual limits
SECONDS = 40.0  # of one run; a venue that answers nobody may keep the last question half as long again
TRADES = 1000  # numbers asked for at once
MOST_TRADES = 20_000  # a larger hole is mended by candles alone
ATTEMPTS = 3  # how often trades are asked for before the venue's candles are all there will be
LONGEST_WAIT = timedelta(hours=6)

_TRY = "SELECT pg_try_advisory_lock(hashtextextended('market.refill', 0))"
_RELEASE = "SELECT pg_advisory_unlock(hashtextextended('market.refill', 0))"


@dataclass(slots=True, kw_only=True)
class Refilled:
    """What one run did: questions asked and gaps tried; what is open afterwards."""

    pages: int = 0
    tried: int = 0
    failed: int = 0
    open: int = 0
    skipped: bool = False  # another process is at it


@dataclass(slots=True)
class _Purse:
    """How many questions may still be asked, and until when (monotonic seconds)."""

    left: int
    until: float
    spent: int = field(default=0)

    def pay(self) -> bool:
        """Take one question; False when none is left, or no time."""
        if time.monotonic() >= self.until:
            self.left = 0
        if self.left <= 0:
            return False
        self.left -= 1
        self.spent += 1
        return True


def refill(now: datetime, *, reach: timedelta = REACH, pages: int = PAGES, at_once: bool = False) -> Refilled:
    """Ask the venues for what is missing, the newest first; `at_once` also what failed a moment ago.

    Safe to repeat; of two at once one does nothing. Raises StoreUnavailable; whatever was fetched is kept.
    """
    done = Refilled()
    with _alone() as alone:
        if not alone:
            done.skipped = True
            return done
        purse = _Purse(pages, time.monotonic() + SECONDS)
        due = [gap for gap in _waiting(now - reach) if at_once or _is_due(gap, now)]
        for instrument, group in groupby(due, key=lambda gap: gap.instrument):
            if purse.left > 0:
                _try(instrument, list(group), purse, done, now)
        done.pages = purse.spent
    done.open = gaps.unfilled().filter(state=Gap.State.OPEN).count()
    return done


@contextmanager
def _alone() -> Iterator[bool]:
    with connection.cursor() as cursor:
        cursor.execute(_TRY)
        got = bool(cursor.fetchone()[0])
    try:
        yield got
    finally:
        if got:
            with connection.cursor() as cursor:
                cursor.execute(_RELEASE)


def _waiting(since: datetime) -> Iterable[Gap]:
    rows = gaps.unfilled().filter(until__gte=since, instrument__enabled=True)
    return rows.select_related("instrument").order_by("instrument__feed", "instrument_id", "-until")


def _is_due(gap: Gap, now: datetime) -> bool:
    if gap.state == Gap.State.BRIDGED and (gap.attempts >= ATTEMPTS or gap.first_id is None):
        return False
    wait = min(timedelta(minutes=2 ** min(gap.attempts, 10)), LONGEST_WAIT)
    return gap.tried_at is None or now - gap.tried_at >= wait


def _try(instrument: Instrument, due: list[Gap], purse: _Purse, done: Refilled, now: datetime) -> None:
    try:
        _mend(instrument, due, purse, done, now)
    except VenueUnavailable as error:  # its feed is not set up: nobody was asked
        for gap in due:
            done.failed += 1
            gap.tried_at, gap.attempts, gap.why = now, gap.attempts + 1, str(error)[:300]
            gap.save()


def _mend(instrument: Instrument, due: list[Gap], purse: _Purse, done: Refilled, now: datetime) -> None:
    with venues.rest(instrument.feed) as rest:
        for gap in due:
            if gap.kind == Gap.Kind.TRADES:
                _ask_trades(gap, rest, purse)
        _look_again(instrument, due, now)
        left = gaps.unfilled(instrument.pk).filter(pk__in=[gap.pk for gap in due]) | _split_off(instrument, due, now)
        for gap in left.distinct().order_by("-kind", "-until"):
            if purse.left <= 0:
                break
            done.tried += 1
            done.failed += not _stand_in(gap, instrument, rest, purse, now)
    _look_again(instrument, due, now)


def _split_off(instrument: Instrument, due: list[Gap], now: datetime) -> QuerySet[Gap]:
    """Return the gaps that were found just now: what is left of one may be several."""
    return gaps.unfilled(instrument.pk).filter(found_at=now, until__gte=min(gap.since for gap in due))


def _ask_trades(gap: Gap, rest: VenueRest, purse: _Purse) -> None:
    """Fetch and store the trades of a gap; what does not come is found missing again."""
    if gap.first_id is None or gap.last_id is None or gap.last_id - gap.first_id >= MOST_TRADES:
        return
    if gap.state == Gap.State.BRIDGED and gap.attempts >= ATTEMPTS:
        return
    for first in range(gap.first_id, gap.last_id + 1, TRADES):
        if not purse.pay():
            return
        try:
            found = rest.trades(gap.instrument.symbol, first, min(first + TRADES - 1, gap.last_id))
        except FeedUnavailable:
            return  # its candles are asked for next, and say why when they cannot be had either
        rows = [store_ticks.from_tick(gap.instrument_id, tick) for tick in found]
        store_ticks.write(selectors.market_store(), rows)


def _look_again(instrument: Instrument, due: list[Gap], now: datetime) -> None:
    since, until = min(gap.since for gap in due), max(gap.until for gap in due)
    end = max(ceiling(until, gaps.WIDTH), floor(since, gaps.WIDTH) + gaps.WIDTH)
    gaps.look(instrument, since=since, until=min(end, floor(now, gaps.WIDTH)), now=now)


def _stand_in(gap: Gap, instrument: Instrument, rest: VenueRest, purse: _Purse, now: datetime) -> bool:
    """Store the venue's candles of a gap; False when they cannot be had now."""
    span = gaps.touched(Span(gap.since, gap.until)) if gap.kind == Gap.Kind.TRADES else Span(gap.since, gap.until)
    if span.until > floor(now, gaps.WIDTH):
        return True  # the last of its buckets is still open: the next run asks
    job = Job(instrument=instrument, timeframe=gaps.TIMEFRAME, since=span.since, until=span.until)
    gap.tried_at, gap.attempts = now, gap.attempts + 1
    try:
        finished = _fetch(job, rest, purse, again=gap.first_id is None and gap.kind == Gap.Kind.TRADES)
    except VenueUnavailable as error:
        gap.why = str(error)[:300]
        gap.save()
        return False
    if finished and gap.kind == Gap.Kind.TRADES:
        gap.state = Gap.State.BRIDGED
        gap.why = gap.why or "the venue does not give these trades; the candles are its own"
    gap.save()
    return finished


def _fetch(job: Job, rest: VenueRest, purse: _Purse, *, again: bool) -> bool:
    pages = history.fetch(job, rest, again=again)
    while purse.pay():
        if next(pages, None) is None:
            purse.left, purse.spent = purse.left + 1, purse.spent - 1
            return True
    return False
