"""Could the prices be trusted? What is missing of what was traded or followed, and the feeds that failed."""

from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Q

from apps.journal.models import Event
from apps.market.models import FeedStatus, Gap, Inspection, Instrument
from apps.reporting.reports import incidents
from apps.reporting.reports.periods import Period
from apps.reporting.reports.subjects import Subject

MOST: Final = 50
_SWITCHED: Final = "feed.switched"


def of(subject: Subject, period: Period) -> dict[str, Any]:
    """Return what is known about the data as plain values."""
    instruments = list(concerned(subject, period).order_by("symbol"))
    gaps = Gap.objects.filter(instrument__in=instruments, since__lt=period.until, until__gt=period.since)
    looked_at = {row.pk: row for row in Inspection.objects.filter(pk__in=[each.pk for each in instruments])}
    found: dict[int, list[Gap]] = {}
    for gap in gaps.order_by("-since", "instrument_id"):
        found.setdefault(gap.instrument_id, []).append(gap)
    newest = sorted((gap for rows in found.values() for gap in rows), key=lambda gap: gap.since, reverse=True)
    names = {each.pk: each.symbol for each in instruments}
    return {
        "instruments": [
            _instrument(each, found.get(each.pk, []), looked_at.get(each.pk), period) for each in instruments
        ],
        "gaps": [_gap(gap, names[gap.instrument_id], period) for gap in newest[:MOST]],
        "gap_count": len(newest),
        "feeds": [_feed(row) for row in _feeds(instruments)],
        "switches": [_switch(event) for event in _switches(instruments, period)],
    }


def concerned(subject: Subject, period: Period) -> Any:
    """Return the instruments that were held in a period, or are followed."""
    held = subject.positions(period).order_by().values("instrument_id").distinct()
    followed = Q(strategy__allocations__account=subject.account)
    if subject.strategy:
        followed &= Q(strategy=subject.strategy)
    ids = Instrument.objects.filter(followed).values("pk").union(held)
    return Instrument.objects.filter(pk__in=list(ids.values_list("pk", flat=True)))


def _instrument(row: Instrument, gaps: list[Gap], looked: Inspection | None, period: Period) -> dict[str, Any]:
    unfilled = [gap for gap in gaps if gap.state == Gap.State.OPEN]
    return {
        "instrument": row.symbol,
        "feed": row.feed,
        "gaps": len(gaps),
        "unfilled": len(unfilled),
        "unfilled_seconds": sum((_within(gap, period) for gap in unfilled), timedelta(0)).total_seconds(),
        "duplicates": looked.duplicates if looked else None,
        "outliers": len(looked.outliers) if looked else None,
    }


def _gap(row: Gap, symbol: str, period: Period) -> dict[str, Any]:
    return {
        "instrument": symbol,
        "kind": str(row.kind),
        "since": row.since.isoformat(),
        "until": row.until.isoformat(),
        "seconds": _within(row, period).total_seconds(),
        "state": str(row.state),
        "why": row.why,
    }


def _within(gap: Gap, period: Period) -> timedelta:
    return min(gap.until, period.until) - max(gap.since, period.since)


def _feeds(instruments: list[Instrument]) -> list[FeedStatus]:
    used = {f"{name}:{row.shard}" for row in instruments for name in (row.feed, row.fallback_feed) if name}
    return list(FeedStatus.objects.filter(name__in=used).order_by("name"))


def _feed(row: FeedStatus) -> dict[str, Any]:
    return {"feed": row.name, "state": row.state, "since": _text(row.since), "why": row.reason, "sessions": row.session}


def _switches(instruments: list[Instrument], period: Period) -> list[Event]:
    subjects = [f"instrument:{row.pk}" for row in instruments]
    rows = Event.objects.filter(subject__in=subjects, kind=_SWITCHED, at__gte=period.since, at__lt=period.until)
    return list(rows.filter(id__gte=incidents.first_number(period.since)).order_by("-id")[:MOST])


def _switch(event: Event) -> dict[str, Any]:
    told = {name: str(event.payload.get(name, "")) for name in ("instrument", "from", "to", "why")}
    return {"at": _text(event.at), **told}


def _text(at: datetime) -> str:
    return at.isoformat()
