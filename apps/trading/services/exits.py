"""The one way out: requests and crossings become Exit rows here, and one service executes them in batches.

An Exit row is durable before anybody is told of it. `drain` takes whatever the table holds, so a bell that is lost,
doubled or merged does no harm.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Self

from django.db import DataError, IntegrityError, transaction

from apps.domain.errors import Problem, Refused
from apps.domain.legs import ExitReason
from apps.domain.settlement import Left
from apps.domain.states import LIVE_EXITS, ExitStatus, PositionStatus
from apps.journal import services as journal
from apps.trading import bell, locks
from apps.trading.models import Exit
from apps.trading.services import booking, cases, claiming
from apps.trading.statements import Statement, array, texts

log = logging.getLogger(__name__)
_NO_CLAIMS = claiming.Claims()


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

    done: int = 0  # executed, or claimed by an order
    superseded: int = 0
    waiting: int = 0  # could not be executed yet, for want of any quote
    more: bool = False

    def __add__(self, other: Self) -> "Drained":
        return Drained(
            done=self.done + other.done,
            superseded=self.superseded + other.superseded,
            waiting=self.waiting + other.waiting,
            more=self.more or other.more,
        )


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


_RECORD = Statement(
    "record_crossings",
    """
    WITH lead AS (
        SELECT epoch FROM journal_lease WHERE name = :role::text AND epoch = :epoch::bigint FOR SHARE
    ), seen AS (
        SELECT * FROM unnest(:legs::bigint[], :prices::numeric[], :peaks::numeric[], :trades::bigint[],
            :venue::timestamptz[], :counts::timestamptz[], :ticks::timestamptz[], :seen::timestamptz[])
        AS s(leg_id, price, peak, trade_id, venue_at, counts_at, tick_at, seen_at)
    ), written AS (
        INSERT INTO trading_exit (position_id, leg_id, reason, status, source, actor, note, trigger_price, peak,
            trade_id, venue_at, tick_at, seen_at, late, epoch)
        SELECT l.position_id, l.id, l.kind, 'triggered', :source::text, '', '', s.price, s.peak, s.trade_id,
            s.venue_at, s.tick_at, s.seen_at, false, :epoch
        FROM seen s JOIN trading_exitleg l ON l.id = s.leg_id AND l.status = 'live' AND s.counts_at >= l.since
        CROSS JOIN lead
        ORDER BY s.tick_at, l.id
        ON CONFLICT DO NOTHING
        RETURNING leg_id
    )
    SELECT (SELECT count(*) FROM lead), (SELECT coalesce(array_agg(leg_id), '{}') FROM written)
    """,
)


class Fenced(Exception):
    """Another process leads by now; what this one wanted to write was not written."""


def record_crossings(crossings: Sequence[Crossing], *, fence: Fence, source: str) -> set[int]:
    """Write one Exit per crossed live leg; return the legs it is new for. A repeat changes nothing. Raises Fenced."""
    if not crossings:
        return set()
    legs, prices, peaks, trades, venue, counts, ticks, seen = zip(*crossings, strict=True)
    ((leads, written),) = _RECORD.run(
        role=fence.role,
        epoch=fence.epoch,
        source=source,
        legs=array(legs),
        prices=array(prices),
        peaks=array(peaks),
        trades=array(trades),
        venue=texts(venue),
        counts=array(counts),
        ticks=array(ticks),
        seen=array(seen),
    )
    if not leads:
        raise Fenced(f"{fence.role} is led under a later epoch than {fence.epoch}")
    return set(written)


# What one impossible row can raise; a lost connection or a deadlock is not its fault and is tried again as a whole.
_POISON = (IntegrityError, DataError, ArithmeticError, ValueError)


def drain(*, worker: str, limit: int) -> Drained:
    """Execute the exits of up to `limit` positions in one transaction and say whether there may be more.

    Several drains may run at once: each takes positions the others do not hold. Times are the database's. A row that
    cannot be executed fails alone, with an event, and holds up no other.
    """
    try:
        return _drain(worker, limit)
    except _POISON as error:
        log.warning("a batch of exits failed and is done one by one: %s", str(error).strip())
    done = Drained()
    for position_id in locks.positions_waiting(limit):
        try:
            done += _drain(worker, 1, only=position_id)
        except _POISON as error:
            _fail(position_id, str(error).strip())
    return done


def _drain(worker: str, limit: int, *, only: int | None = None) -> Drained:
    with transaction.atomic():
        locked = locks.positions_to_leave(limit, only=only)
        here = [row for row in locked if row.instant]
        batch, answers = cases.decide(here)
        drain_id = booking.write(batch, worker=worker) if batch else None
        claims = claiming.claim([row for row in locked if not row.instant]) if len(here) < len(locked) else _NO_CLAIMS
    if drain_id is not None:
        booking.stamp_commit(drain_id)
    done = sum(isinstance(answer, Left) for answer in answers)
    seen = sum(len(case.due) for case in batch)
    return Drained(
        done=done + claims.claimed,
        superseded=len(answers) - done + claims.superseded,
        waiting=seen - len(answers) + claims.waiting,
        more=bool(answers or claims.claimed) and max(len(locked), seen) >= limit,
    )


def _fail(position_id: int, why: str) -> None:
    """Set the exits of one position aside and tell: silence would be the worst answer."""
    with transaction.atomic():
        position = locks.position(position_id)
        waiting = Exit.objects.filter(position=position, status=ExitStatus.TRIGGERED)
        ids = list(waiting.values_list("pk", flat=True))
        waiting.update(status=ExitStatus.FAILED, note=why[:300])
        journal.record(
            "exit.failed",
            f"position:{position_id}",
            account_id=position.account_id,
            payload={"position": position_id, "exits": ids, "why": why[:300]},
        )
    log.critical("the exits %s of position %d cannot be executed: %s", ids, position_id, why)
