"""Finding what is missing of the stored prices, and writing it down: every stretch of which something is not known.

Trades are missing where a venue that counts by one skipped numbers. Candles are missing where a bucket of trading hours
has none and nothing proves that nobody traded: neither the venue's history nor trade numbers without a hole around it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Min, Q, QuerySet

from apps.domain import spans
from apps.domain.calendars import NotCovered
from apps.domain.exchanges import UnknownCalendar
from apps.domain.spans import Span
from apps.market import calendars, selectors
from apps.market.feeds import ranges
from apps.market.models import Gap, Inspection, Instrument
from apps.market.services import candles, coverage, oddities, venues
from apps.market.store import Timeframe, quality
from apps.market.store import candles as store_candles
from apps.market.store.quality import Place
from apps.market.store.timeframes import ceiling, floor

TIMEFRAME = Timeframe.MINUTE
WIDTH = TIMEFRAME.width
SETTLES = timedelta(seconds=60)  # the listener's own refill has its chance first
OVERLAP = timedelta(minutes=30)  # looked at again each time, for trades that came late
LONGEST = timedelta(days=31)  # of one look, so that a job ends within its time
REMEMBERED = timedelta(days=30)  # after that a filled gap is forgotten

_TURN = "SELECT pg_advisory_xact_lock(hashtextextended('gaps.' || %s, 0))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """One thing that is missing now; numbers where the venue's say which trades."""

    span: Span
    first_id: int | None = None
    last_id: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the stored prints of a stretch prove: missing trades, and buckets of which every trade is known."""

    trades: list[Missing]
    whole: list[Span]
    ends: list[Span]  # the buckets of the first and the last print, when what was before or after it is not known


def find(now: datetime) -> int:
    """Look at what came in since the last look, of every enabled instrument; return how many gaps are open.

    Safe to repeat and to run at once. Raises StoreUnavailable.
    """
    for instrument in Instrument.objects.filter(enabled=True):
        look(instrument, until=now - SETTLES, now=now)  # one stretch; the next run goes on
    Gap.objects.filter(state=Gap.State.FILLED, filled_at__lt=now - REMEMBERED).delete()
    return unfilled().filter(state=Gap.State.OPEN).count()


def catch_up(instrument: Instrument, *, until: datetime, now: datetime, since: datetime | None = None) -> None:
    """Look at one instrument up to `until`, in as many stretches as it takes. Raises StoreUnavailable."""
    end = look(instrument, until=until, now=now, since=since)
    while end is not None and end < _bucket(until).since:
        end = look(instrument, until=until, now=now, since=end)


def look(instrument: Instrument, *, until: datetime, now: datetime, since: datetime | None = None) -> datetime | None:
    """Compare what is stored of one instrument with what should be, and write down the difference.

    Without `since` it goes on where the last look ended, or begins with the first stored price; one look covers at
    most a month. Returns up to where it looked, None when there was nothing to look at. Raises StoreUnavailable.
    """
    store = selectors.market_store()
    first = quality.first_price(store, instrument.pk, TIMEFRAME)
    last_look = Inspection.objects.filter(pk=instrument.pk).first()
    if first is None:
        return None
    start = _start(instrument, first, last_look, since)
    span = Span(start, min(_bucket(until).since, start + LONGEST))
    if span.since >= span.until:
        return None
    if store_candles.roll_up(store, [instrument.pk], TIMEFRAME, *span):
        candles.lengthen(instrument.pk, TIMEFRAME, *span)
    evidence = _evidence(instrument, span)
    unknown = _unknown_candles(instrument, span, evidence)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_TURN, [instrument.pk])
        _write_trades(instrument, evidence.trades, span, now)
        _write_candles(instrument, unknown, span, now)
        coverage.add(instrument.pk, TIMEFRAME, evidence.whole)
    oddities.note_look(instrument, span, first=first, now=now)
    return span.until


def note(instrument_id: int, since: datetime, until: datetime, why: str, now: datetime) -> None:
    """Write down a stretch in which a feed was not heard and no numbers tell what was missed."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_TURN, [instrument_id])
        rows = unfilled(instrument_id).filter(first_id=None, kind=Gap.Kind.TRADES)
        row = rows.filter(since__lte=until, until__gte=since).first()
        if row is None:
            row = Gap(instrument_id=instrument_id, kind=Gap.Kind.TRADES, since=since, until=until, found_at=now)
        elif row.since <= since and until <= row.until:
            return
        row.since, row.until, row.why = min(row.since, since), max(row.until, until), why[:300]
        row.state, row.attempts = Gap.State.OPEN, 0
        row.save()


def unfilled(instrument_id: int | None = None) -> QuerySet[Gap]:
    """Return the gaps that something is still missing of."""
    rows = Gap.objects.exclude(state=Gap.State.FILLED)
    return rows if instrument_id is None else rows.filter(instrument_id=instrument_id)


def touched(gap: Span) -> Span:
    """Return the buckets that a stretch touches; an instant touches its own."""
    return Span(floor(gap.since, WIDTH), floor(gap.until, WIDTH) + WIDTH)


def _start(instrument: Instrument, first: datetime, last: Inspection | None, since: datetime | None) -> datetime:
    if since is None and last is not None and first >= last.since:
        since = last.until - OVERLAP
    start = floor(max(first, since or first), WIDTH)
    # A gap that reaches into the stretch is looked at as a whole: half of it might look like another gap.
    reaching = unfilled(instrument.pk).filter(since__lt=start, until__gt=start)
    earliest: datetime | None = reaching.aggregate(earliest=Min("since"))["earliest"]
    return start if earliest is None or start - earliest > LONGEST / 2 else floor(earliest, WIDTH)


def _evidence(instrument: Instrument, span: Span) -> Evidence:
    """Read from the prints' numbers what is missing and what is proven to be whole."""
    store, one = selectors.market_store(), instrument.pk
    before, after = quality.last_before(store, one, span.since), quality.first_from(store, one, span.until)
    first = before or quality.first_from(store, one, span.since)
    last = after or quality.last_before(store, one, span.until)
    if first is None or last is None or first.at >= span.until or not venues.counts_by_one(instrument.feed):
        return Evidence(trades=[], whole=[], ends=[])
    missing = [*_missing_trades(one, first, last)]
    ends = [_bucket(end.at) for end, known in ((first, before), (last, after)) if known is None]
    seen = Span(_bucket(first.at).since, _bucket(last.at).since)
    whole = spans.without([seen], [*ends, *(touched(item.span) for item in missing)])
    return Evidence(trades=missing, whole=spans.within(whole, span), ends=spans.within(ends, span))


def _missing_trades(one: int, first: Place, last: Place) -> Iterator[Missing]:
    store, end = selectors.market_store(), last.at + timedelta.resolution
    for hole in quality.missing_trades(store, one, first.at, end):
        found = quality.present(store, one, hole)
        for first_id, last_id in ranges.without([(hole.first_id, hole.last_id)], found):
            span = Span(min(hole.since, hole.until), max(hole.since, hole.until))
            yield Missing(span=span, first_id=first_id, last_id=last_id)
    for pause in quality.restarts(store, one, first.at, end):
        yield Missing(span=pause, why="the venue began to count its trades anew")


def _unknown_candles(instrument: Instrument, span: Span, evidence: Evidence) -> list[Span]:
    empty = quality.empty_buckets(selectors.market_store(), instrument.pk, TIMEFRAME, *span)
    known = coverage.of(instrument.pk, TIMEFRAME, *span)
    return spans.without([*empty, *evidence.ends], [*known, *evidence.whole, *_closed(instrument, span)])


def _closed(instrument: Instrument, span: Span) -> list[Span]:
    """Return when the market was closed; with hours unknown it counts as open, and the venue is asked."""
    try:
        sessions = calendars.sessions(instrument, *span)
    except (NotCovered, UnknownCalendar):
        return []
    hours = [Span(floor(opens, WIDTH), ceiling(closes, WIDTH)) for row in sessions for opens, closes in row.spans()]
    return spans.without([span], hours)


def _bucket(at: datetime) -> Span:
    since = floor(at, WIDTH)
    return Span(since, since + WIDTH)


def _write_trades(instrument: Instrument, found: Sequence[Missing], span: Span, now: datetime) -> None:
    rows = list(_within(instrument, Gap.Kind.TRADES, span))
    for item in found:
        row = next((row for row in rows if _is_same(row, item)), None)
        if row is None:
            row = Gap(instrument=instrument, kind=Gap.Kind.TRADES, found_at=now, why=item.why)
        else:
            rows.remove(row)
        row.since, row.until, row.first_id, row.last_id = *item.span, item.first_id, item.last_id
        row.save()
    for row in rows:
        if row.first_id is not None:  # without numbers nothing says that it was filled
            _fill(row, now)


def _is_same(row: Gap, item: Missing) -> bool:
    if row.first_id is None or row.last_id is None or item.first_id is None or item.last_id is None:
        return row.first_id == item.first_id and Span(row.since, row.until).overlaps(item.span)
    return row.first_id <= item.last_id and item.first_id <= row.last_id


def _write_candles(instrument: Instrument, found: Sequence[Span], span: Span, now: datetime) -> None:
    rows = list(_within(instrument, Gap.Kind.CANDLES, span))
    for item in found:
        row = next((row for row in rows if item.overlaps(Span(row.since, row.until))), None)
        if row is None:
            row = Gap(instrument=instrument, kind=Gap.Kind.CANDLES, found_at=now, since=item.since, until=item.until)
        else:
            rows.remove(row)
        _stretch(row, item, span)
        row.save()
    for row in rows:
        _settle(row, span, now)


def _stretch(row: Gap, item: Span, span: Span) -> None:
    """Let a row say what was found; what lies outside of this look stays as it was."""
    row.until = max(item.until, row.until) if row.until > span.until else item.until
    row.since = min(item.since, row.since) if row.since < span.since else item.since


def _settle(row: Gap, span: Span, now: datetime) -> None:
    """Close a row of which nothing is missing within the look; what lies outside of it stays open."""
    outside = spans.without([Span(row.since, row.until)], [span])
    if outside:
        row.since, row.until = outside[0]
        row.save()
        for more in outside[1:]:
            Gap.objects.create(
                instrument=row.instrument, kind=row.kind, since=more.since, until=more.until, found_at=row.found_at
            )
        return
    store, whole = selectors.market_store(), Span(row.since, row.until)
    if quality.empty_buckets(store, row.instrument_id, TIMEFRAME, *whole) == [whole]:
        row.delete()  # nobody traded: it was none
    else:
        _fill(row, now)


def _within(instrument: Instrument, kind: Gap.Kind, span: Span) -> QuerySet[Gap]:
    inside = Q(until__gt=span.since) | Q(since__gte=span.since)  # a gap of trades may be a single instant
    return unfilled(instrument.pk).filter(inside, kind=kind, since__lt=span.until).order_by("since", "pk")


def _fill(row: Gap, now: datetime) -> None:
    row.state, row.filled_at = Gap.State.FILLED, now
    row.save()
