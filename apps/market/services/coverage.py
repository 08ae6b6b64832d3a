"""Which stretches of candles are known: what was asked of the venue or seen whole, so that nothing is asked twice."""

from collections.abc import Sequence
from datetime import datetime

from django.db import connection, models, transaction

from apps.domain import spans
from apps.domain.spans import Span
from apps.market.models import Coverage
from apps.market.store import Timeframe

# One writer per instrument and timeframe: two that join the same stretches would each miss the other's.
_TURN = "SELECT pg_advisory_xact_lock(hashtextextended('coverage.' || %s || '.' || %s, 0))"


def add(instrument_id: int, timeframe: Timeframe, known: Sequence[Span]) -> None:
    """Remember stretches of which every candle is stored or known to be empty; write the candles first."""
    if not known:
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_TURN, [instrument_id, timeframe.value])
        for span in spans.merged(known):
            _join(instrument_id, timeframe, span)


def of(instrument_id: int, timeframe: Timeframe, since: datetime, until: datetime) -> list[Span]:
    """Return what of [since, until) is known, in order."""
    rows = _rows(instrument_id, timeframe).filter(since__lt=until, until__gt=since).values_list("since", "until")
    return spans.within((Span(*row) for row in rows), Span(since, until))


def missing(instrument_id: int, timeframe: Timeframe, since: datetime, until: datetime) -> list[Span]:
    """Return what of [since, until) is not known, in order."""
    return spans.without([Span(since, until)], of(instrument_id, timeframe, since, until))


def _join(instrument_id: int, timeframe: Timeframe, span: Span) -> None:
    touching = _rows(instrument_id, timeframe).filter(since__lte=span.until, until__gte=span.since)
    rows = list(touching.values_list("pk", "since", "until"))
    since = min([span.since, *(row[1] for row in rows)])
    until = max([span.until, *(row[2] for row in rows)])
    if len(rows) == 1 and (since, until) == rows[0][1:]:
        return
    Coverage.objects.filter(pk__in=[row[0] for row in rows]).delete()
    Coverage.objects.create(instrument_id=instrument_id, timeframe=timeframe.value, since=since, until=until)


def _rows(instrument_id: int, timeframe: Timeframe) -> models.QuerySet[Coverage]:
    return Coverage.objects.filter(instrument_id=instrument_id, timeframe=timeframe.value)
