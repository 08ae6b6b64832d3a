"""Reports are rows first: wanted by the timetable or a person, claimed by a worker, counted, written, stored.

A worker that dies leaves a row that says so; another takes it back after SILENT, three times at most. There is one row
of each kind, subject and day, so whatever is asked for twice is made once, or made anew.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Q

from apps.backtests import bell
from apps.domain.errors import Problem, Refused
from apps.journal import services as journal
from apps.market import calendars
from apps.reporting.models import FileFormat, Report, ReportFile, ReportKind, ReportState
from apps.reporting.reports import figures, links, periods, sections
from apps.reporting.reports.document import Document
from apps.reporting.reports.periods import Period
from apps.reporting.reports.rendering import html
from apps.reporting.reports.subjects import Subject, calendar_of, followed
from apps.trading.models import Account

SILENT: Final = timedelta(minutes=7)  # longer than a worker may take: whoever claimed before has ended
MOST_TRIES: Final = 3
CALL: Final = "reporting.report"
COMPLETED: Final = "report.completed"
FAILED: Final = "report.failed"
# So many are made up for after a time without workers; a morning that is over is of no use.
CAUGHT_UP: Final = {ReportKind.DAILY: 7, ReportKind.WEEKLY: 4, ReportKind.MONTHLY: 2, ReportKind.MORNING: 1}
MORNING_LASTS: Final = timedelta(hours=6)
SETTLING: Final = timedelta(seconds=30)  # until what happened before the end of a period is committed
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A report that somebody asks for."""

    subject: Subject
    period: Period


# --- wanting --------------------------------------------------------------------------------------------------------
def want_due(now: datetime, *, kinds: tuple[ReportKind, ...] = tuple(ReportKind)) -> int:
    """Write a row for every report that has become due and has none, and return how many."""
    wanted = [_row(wish) for account in Account.objects.order_by("pk") for wish in _due(account, kinds, now)]
    before = Report.objects.filter(state=ReportState.WANTED).count()
    Report.objects.bulk_create(wanted, ignore_conflicts=True)
    return max(Report.objects.filter(state=ReportState.WANTED).count() - before, 0)


def want(wish: Wish, *, actor: str, now: datetime) -> Report:
    """Have a report made, or made anew, and call a worker. Raises Refused for a time that has not ended."""
    if wish.period.until > now:
        rule = f"ends at {wish.period.until:%Y-%m-%d %H:%M} UTC"
        raise Refused(Problem(field="day", value=str(wish.period.day), rule=rule, remedy="ask again after that"))
    with transaction.atomic():
        row, made = Report.objects.get_or_create(
            kind=wish.period.kind,
            account=wish.subject.account,
            strategy=wish.subject.strategy,
            day=wish.period.day,
            defaults={"since": wish.period.since, "until": wish.period.until, "wanted_at": now, "wanted_by": actor},
        )
        if not made:
            renew(row, actor=actor, now=now)
        bell.call_after_commit(CALL, row.pk)
    return row


def renew(row: Report, *, actor: str, now: datetime) -> bool:
    """Have a report made anew; False while it waits or is being made."""
    ended = Report.objects.filter(pk=row.pk, state__in=(ReportState.MADE, ReportState.FAILED))
    values: dict[str, Any] = {
        "state": ReportState.WANTED,
        "wanted_at": now,
        "wanted_by": actor,
        "tries": 0,
        "error": "",
    }
    changed = bool(ended.update(**values))
    bell.call_after_commit(CALL, row.pk)
    return changed


def period_of(account: Account, kind: ReportKind, now: datetime, *, day: Any = None) -> Period:
    """Return the last period of a kind that has ended, or the one around a day. Raises Refused where there is none."""
    name = calendar_of(account)
    calendar = calendars.of(name)
    found = periods.of_day(calendar, kind, day) if day else next(iter(periods.ended(calendar, kind, now, most=1)), None)
    if found is None:
        remedy = f"run 'manage.py calendars refresh {name}'"
        rule = f"has no sessions in calendar {name} that tell"
        raise Refused(Problem(field="day", value=str(day or "the last one"), rule=rule, remedy=remedy))
    return found


def _due(account: Account, kinds: tuple[ReportKind, ...], now: datetime) -> Iterator[Wish]:
    calendar = calendars.of(calendar_of(account))
    for kind in kinds:
        for period in periods.ended(calendar, kind, now - SETTLING, most=CAUGHT_UP[kind]):
            late = kind == ReportKind.MORNING and now - period.until > MORNING_LASTS
            if late or period.until <= account.opened_at or _is_there(account, period):
                continue
            yield Wish(subject=Subject(account=account), period=period)
            if kind != ReportKind.MORNING:
                yield from _of_strategies(account, period)


def _of_strategies(account: Account, period: Period) -> Iterator[Wish]:
    """Yield a wish for each strategy that held something in a period."""
    for allocation in followed(account):
        subject = Subject(account=account, strategy=allocation.strategy)
        if subject.positions(period).exists():
            yield Wish(subject=subject, period=period)


def _is_there(account: Account, period: Period) -> bool:
    return Report.objects.filter(account=account, strategy=None, kind=period.kind, day=period.day).exists()


def _row(wish: Wish) -> Report:
    period = wish.period
    subject = {"account": wish.subject.account, "strategy": wish.subject.strategy}
    return Report(kind=period.kind, day=period.day, since=period.since, until=period.until, **subject)


# --- making ---------------------------------------------------------------------------------------------------------
def make_waiting(clock: Clock, *, seconds: float) -> int:
    """Make what is wanted, the oldest wish first, for about so many seconds; return how many were made."""
    began, made = clock(), 0
    while (clock() - began).total_seconds() < seconds:
        row = claim(clock())
        if row is None:
            break
        made += make(row, clock)
    return made


def make_one(report_id: int, clock: Clock) -> bool:
    """Make one report if it is wanted; say whether it was made."""
    row = claim(clock(), report_id=report_id)
    return row is not None and make(row, clock)


def claim(now: datetime, *, report_id: int | None = None) -> Report | None:
    """Take a report that waits, or whose maker fell silent; None when there is none."""
    silent = Q(state=ReportState.MAKING, claimed_at__lt=now - SILENT)
    rows = Report.objects.filter(Q(state=ReportState.WANTED) | silent).select_related("account", "strategy")
    rows = rows if report_id is None else rows.filter(pk=report_id)
    for row in rows.order_by("wanted_at", "id"):
        same = Report.objects.filter(pk=row.pk, state=row.state, claimed_at=row.claimed_at)
        if row.tries >= MOST_TRIES:
            _give_up(row)
        elif same.update(state=ReportState.MAKING, claimed_at=now, tries=F("tries") + 1):
            row.claimed_at = now
            return row
    return None


def make(row: Report, clock: Clock) -> bool:
    """Count, write and store a claimed report; False when somebody else took it back meanwhile."""
    from apps.reporting.reports.rendering import pdf  # 25 MB of fonts and pictures: for who writes one

    began = clock()
    subject = Subject(account=row.account, strategy=row.strategy)
    period = Period(kind=ReportKind(row.kind), day=row.day, since=row.since, until=row.until)
    found = figures.of(subject, period, calendar_of(row.account), began)
    document = sections.of(found)
    files = [
        ReportFile.packed(row, FileFormat.HTML, html.written(document).encode()),
        ReportFile.packed(row, FileFormat.PDF, pdf.written(document, made_at=began)),
    ]
    ended = clock()
    with transaction.atomic():
        claimed = Report.objects.filter(pk=row.pk, state=ReportState.MAKING, claimed_at=row.claimed_at)
        took = (ended - began).total_seconds()
        if not claimed.update(state=ReportState.MADE, made_at=ended, seconds=took, figures=found, error=""):
            return False
        ReportFile.objects.filter(report=row).delete()
        ReportFile.objects.bulk_create(files)
        journal.record(COMPLETED, f"report:{row.pk}", account_id=row.account_id, payload=_facts(row, document))
    return True


def _facts(row: Report, document: Document) -> dict[str, Any]:
    return {
        "report": row.pk,
        "report_kind": row.kind,
        "day": row.day.isoformat(),
        "strategy": row.strategy.name if row.strategy else "",
        "title": document.title,
        "verdict": document.verdict.text,
        "link": links.of(row),
    }


def _give_up(row: Report) -> None:
    """Say that a report could not be made: whoever made it ended before it was whole."""
    why = f"{MOST_TRIES} workers ended before it was whole; their logs say why."
    with transaction.atomic():
        same = Report.objects.filter(pk=row.pk, state=row.state, claimed_at=row.claimed_at)
        if same.update(state=ReportState.FAILED, error=why):
            payload = {"report": row.pk, "report_kind": row.kind, "day": row.day.isoformat(), "error": why}
            journal.record(FAILED, f"report:{row.pk}", account_id=row.account_id, payload=payload)
