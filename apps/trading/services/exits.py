"""The one way out: requests and crossings become Exit rows here, and one service executes them in batches.

An Exit row is durable before anybody is told of it. `drain` takes whatever the table holds, so a bell that is lost,
doubled or merged does no harm.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction

from apps.domain import fills
from apps.domain.errors import Problem, Refused
from apps.domain.legs import ExitReason, Leg, LegKind
from apps.domain.settlement import Due, Holding, Left, Market, Superseded, Terms, settle
from apps.domain.sides import Side
from apps.domain.states import LIVE_EXITS, ExitStatus, LegStatus, PositionStatus
from apps.market import selectors as market
from apps.trading import bell, locks
from apps.trading.models import Exit
from apps.trading.services import booking


class AlreadyLeaving(Refused):
    """Somebody asked before: the position is closed or being closed by the exit `exit_id`."""

    def __init__(self, position_id: int, exit_id: int | None, rule: str) -> None:
        super().__init__(
            Problem(field="position", value=f"#{position_id}", rule=rule, remedy=f"see exit {exit_id} for the outcome")
        )
        self.exit_id = exit_id


class Crossing(NamedTuple):
    """A price that crossed a leg's level, as a listener or the sweeper saw it."""

    leg_id: int
    price: str  # as the venue sent it
    peak: str | None  # the best price it depends on
    trade_id: int
    venue_at: str | None  # ISO 8601
    counts_at: datetime  # when the market was there; a leg made later is not triggered by it
    tick_at: datetime
    seen_at: datetime


class Fence(NamedTuple):
    """The role and epoch a writer acts under; an epoch that has passed writes nothing."""

    role: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What one batch did; `more` says that the table may hold more."""

    done: int = 0
    superseded: int = 0
    waiting: int = 0  # could not be executed yet, for want of any quote
    more: bool = False


def request_exit(
    *, position_id: int, reason: ExitReason, source: str, now: datetime, actor: str = "", note: str = ""
) -> Exit:
    """Ask for all of a position to be left at the market; a worker does it within milliseconds.

    Raises AlreadyLeaving with the first exit's id if somebody asked before, Position.DoesNotExist if there is none.
    """
    with transaction.atomic():
        position = locks.position(position_id)
        if position.status == PositionStatus.CLOSED:
            raise AlreadyLeaving(position_id, position.last_exit_id, "is already closed")
        live = Exit.objects.filter(position=position, leg=None, status__in=LIVE_EXITS).first()
        if live is not None:
            raise AlreadyLeaving(position_id, live.pk, "is already being closed")
        exit_ = Exit.objects.create(
            position=position, reason=reason, source=source, actor=actor, note=note, tick_at=now, seen_at=now
        )
        bell.ring_after_commit()
    return exit_


_RECORD = """
WITH lead AS (SELECT epoch FROM journal_lease WHERE name = %(role)s AND epoch = %(epoch)s FOR SHARE),
seen AS (
    SELECT * FROM unnest(%(legs)s::bigint[], %(prices)s::numeric[], %(peaks)s::numeric[], %(trades)s::bigint[],
        %(venue)s::timestamptz[], %(counts)s::timestamptz[], %(ticks)s::timestamptz[], %(seen)s::timestamptz[])
    AS s(leg_id, price, peak, trade_id, venue_at, counts_at, tick_at, seen_at)
),
written AS (
    INSERT INTO trading_exit (position_id, leg_id, reason, status, source, actor, note, trigger_price, peak, trade_id,
        venue_at, tick_at, seen_at, late, epoch)
    SELECT l.position_id, l.id, l.kind, 'triggered', %(source)s, '', '', s.price, s.peak, s.trade_id, s.venue_at,
        s.tick_at, s.seen_at, false, %(epoch)s
    FROM seen s JOIN trading_exitleg l ON l.id = s.leg_id AND l.status = 'live' AND s.counts_at >= l.since
    CROSS JOIN lead
    ORDER BY s.tick_at, l.id
    ON CONFLICT DO NOTHING
    RETURNING leg_id
)
SELECT (SELECT count(*) FROM lead), (SELECT coalesce(array_agg(leg_id), '{}') FROM written)
"""


class Fenced(Exception):
    """Another process leads by now; what this one wanted to write was not written."""


def record_crossings(crossings: Sequence[Crossing], *, fence: Fence, source: str) -> set[int]:
    """Write one Exit per crossed live leg; return the legs it is new for. A repeat changes nothing. Raises Fenced."""
    if not crossings:
        return set()
    legs, prices, peaks, trades, venue, counts, ticks, seen = (list(column) for column in zip(*crossings, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(
            _RECORD,
            {
                "role": fence.role,
                "epoch": fence.epoch,
                "source": source,
                "legs": legs,
                "prices": prices,
                "peaks": peaks,
                "trades": trades,
                "venue": venue,
                "counts": counts,
                "ticks": ticks,
                "seen": seen,
            },
        )
        leads, written = cursor.fetchone()
    if not leads:
        raise Fenced(f"{fence.role} is led under a later epoch than {fence.epoch}")
    return set(written)


_POSITION = (
    "id",
    "account_id",
    "instrument_id",
    "side",
    "quantity",
    "remaining",
    "cost",
    "entry_price",
    "exit_notional",
    "fees",
    "realised_pnl",
    "opened_at",
    "signal_id",
    "instrument__symbol",
    "instrument__shard",
    "instrument__quote_currency",
    "instrument__tick_size",
    "instrument__lot_size",
    "account__fee_rate",
    "account__fee_fixed",
    "account__slippage_rate",
    "account__slippage_fixed",
)


def drain(*, worker: str, limit: int) -> Drained:
    """Execute the exits of up to `limit` positions in one transaction and say whether there may be more.

    Several drains may run at once: each takes positions the others do not hold. Times are the database's.
    """
    with transaction.atomic():
        locked = [booking.Locked._make(row) for row in locks.positions_to_leave(limit, _POSITION)]
        batch, answers = _decide(locked)
        drain_id = booking.write(batch, worker=worker) if batch else None
    if drain_id is not None:
        booking.stamp_commit(drain_id)
    done = sum(isinstance(answer, Left) for answer in answers)
    waiting = sum(len(case.due) for case in batch) - len(answers)
    return Drained(
        done=done,
        superseded=len(answers) - done,
        waiting=waiting,
        more=len(locked) == limit or (bool(locked) and not batch),
    )


def _decide(locked: Sequence[booking.Locked]) -> tuple[list[booking.Case], list[Left | Superseded]]:
    if not locked:
        return [], []
    now = _clock()
    due = _due([row.id for row in locked])
    quotes = _markets({row.instrument_id for row in locked})
    batch, answers = [], []
    for row in locked:
        exits = due.get(row.id)
        if not exits:
            continue
        holding = Holding(
            side=Side(row.side),
            entry_price=row.entry_price,
            quantity=row.quantity,
            remaining=row.remaining,
            cost=row.cost,
        )
        outcome = settle(holding, [item.due for item in exits], quotes.get(row.instrument_id), _terms(row, now))
        answers += outcome
        batch.append(booking.Case(row=row, holding=holding, due=exits, answers=outcome))
    return batch, answers


_DUE = (
    "id",
    "position_id",
    "reason",
    "trigger_price",
    "peak",
    "tick_at",
    "leg_id",
    "leg__status",
    "leg__kind",
    "leg__fraction",
    "leg__level",
    "leg__activation",
    "leg__trail",
    "leg__trail_is_rate",
    "leg__due_at",
)


def _due(position_ids: Sequence[int]) -> dict[int, list[booking.Waiting]]:
    rows = Exit.objects.filter(position_id__in=position_ids, status=ExitStatus.TRIGGERED).values_list(*_DUE)
    found: dict[int, list[booking.Waiting]] = defaultdict(list)
    for id_, position_id, reason, price, peak, tick_at, leg_id, *leg in rows:
        due = Due(
            exit_id=id_,
            reason=reason,
            leg=_leg(*leg[1:]) if leg_id else None,
            leg_is_live=leg[0] == LegStatus.LIVE,
            price=price,
            peak=peak,
            tick_at=tick_at,
        )
        found[position_id].append(booking.Waiting(due, leg_id))
    return found


def _leg(
    kind: str,
    fraction: Decimal,
    level: Decimal | None,
    activation: Decimal | None,
    trail: Decimal | None,
    trail_is_rate: bool,
    due_at: datetime | None,
) -> Leg:
    return Leg(
        kind=LegKind(kind),
        fraction=fraction,
        level=level,
        activation=activation,
        trail=trail,
        trail_is_rate=trail_is_rate,
        due_at=due_at,
    )


def _markets(instrument_ids: Iterable[int]) -> dict[int, Market]:
    return {
        key: Market(price=quote.price, bid=quote.bid, ask=quote.ask, received_at=quote.received_at)
        for key, quote in market.quotes(list(instrument_ids)).items()
    }


def _terms(row: booking.Locked, now: datetime) -> Terms:
    return Terms(
        tick_size=row.tick_size,
        lot_size=row.lot_size,
        costs=fills.Costs(
            fee_rate=row.fee_rate,
            fee_fixed=row.fee_fixed,
            slippage_rate=row.slippage_rate,
            slippage_fixed=row.slippage_fixed,
        ),
        late_before=now - settings.EXIT_LATE_AFTER,
    )


def _clock() -> datetime:
    """Return the database's clock, the one all latencies are measured against."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]  # type: ignore[no-any-return]
