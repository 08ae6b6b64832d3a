"""Exits of positions whose broker takes orders: each becomes an order, in the transaction that claims it.

No broker is called here. What an exit may take is what is held less what other exit orders of the lot may still fill.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import F, Sum

from apps.domain import numbers
from apps.domain.legs import PRIORITY
from apps.domain.orders import OrderKind, Purpose, TimeInForce, client_id
from apps.domain.settlement import Holding, part_of, refusal
from apps.domain.sides import Side
from apps.domain.states import ENDED_ORDERS, ExitStatus, OrderStatus, PositionStatus
from apps.journal import services as journal
from apps.trading import bell, locks
from apps.trading.locks import Locked
from apps.trading.models import Exit, LevelChange, Order, Position
from apps.trading.services import cases, order_exits, ordering
from apps.trading.services.booking import Waiting

ATTEMPTS = 10  # orders of one exit that the venue refused; then a person is told
_PAUSE = timedelta(milliseconds=500)  # after the first refused attempt, doubled with each
_LONGEST_PAUSE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What became of the exits of locked positions."""

    claimed: int = 0
    superseded: int = 0
    waiting: int = 0


def claim(rows: Sequence[Locked]) -> Claims:
    """Make orders of the exits that wait for locked positions; one without a free quantity waits for the others."""
    if not rows:
        return Claims()
    due = cases.waiting_for([row.id for row in rows])
    taken = _taken([row.id for row in rows])
    found = [_claim(row, due.get(row.id, []), taken.get(row.id, Decimal(0))) for row in rows]
    return Claims(
        claimed=sum(one.claimed for one in found),
        superseded=sum(one.superseded for one in found),
        waiting=sum(one.waiting for one in found),
    )


def again(*, now: datetime, limit: int) -> int:
    """Send what is left of exits whose last order ended without filling all of it; return how many were seen to.

    The attempts of one exit follow each other: the next is made once the last has ended. After a refusal it waits,
    longer each time; an exit refused too often fails, with an event.
    """
    live = Order.objects.filter(exit__isnull=False).exclude(status__in=ENDED_ORDERS)
    stranded = Exit.objects.filter(status=ExitStatus.CLAIMED).exclude(pk__in=live.values("exit_id"))
    done = 0
    for exit_id, position_id in stranded.order_by("id").values_list("id", "position_id")[:limit]:
        with transaction.atomic():
            done += _again(exit_id, position_id, now)
    return done


def free_of(position: Position) -> Decimal:
    """Return how much of a locked position no exit order may still fill."""
    free: Decimal = position.remaining - _taken([position.pk]).get(position.pk, Decimal(0))
    return free


def _claim(row: Locked, waiting: Sequence[Waiting], taken: Decimal) -> Claims:
    holding = Holding(
        side=Side(row.side),
        entry_price=row.entry_price,
        quantity=row.quantity,
        remaining=max(row.remaining - taken, Decimal(0)),
        cost=row.cost,
    )
    claimed = superseded = 0
    if 0 < row.remaining < row.lot_size and not taken and waiting:
        order_exits.write_off(waiting[0].due.exit_id, now=row.locked_at)  # nothing can be sent for so little
        return Claims(superseded=1, waiting=len(waiting) - 1)
    for item in sorted(waiting, key=lambda one: (one.due.tick_at, PRIORITY[one.due.reason], one.due.exit_id)):
        why = "the position is closed" if not row.remaining else refusal(holding, item.due, held=row.remaining)
        if why:
            superseded += Exit.objects.filter(pk=item.due.exit_id).update(status=ExitStatus.SUPERSEDED, note=why)
            continue
        quantity = _part(holding, item, row.lot_size)
        if quantity:
            holding.remaining -= quantity
            _order_exit(row.id, item.due.exit_id, quantity, whole=holding.remaining < row.lot_size, now=row.locked_at)
            claimed += 1
    if superseded:
        LevelChange.objects.create(position_id=row.id, shard=row.shard)
    return Claims(claimed=claimed, superseded=superseded, waiting=len(waiting) - claimed - superseded)


def _part(holding: Holding, item: Waiting, lot_size: Decimal) -> Decimal:
    """Return how much an exit takes of what is free, in whole lots: a venue takes no others."""
    if holding.remaining < lot_size:
        return Decimal(0)
    fraction = item.due.leg.fraction if item.due.leg else Decimal(1)
    return numbers.floor_to(part_of(holding, fraction, lot_size), lot_size)


def _order_exit(position_id: int, exit_id: int, quantity: Decimal, *, whole: bool, now: datetime) -> None:
    """Claim one exit of a locked position: its order is stored, what works against it is asked back."""
    exit_ = Exit.objects.select_related("position__instrument", "position__account").get(pk=exit_id)
    position = exit_.position
    in_the_way = {Purpose.PROTECT, Purpose.ENTRY} if whole else {Purpose.PROTECT}
    works = [one for one in locks.live_orders(position_id) if one.purpose in in_the_way]
    ordering.ask_back(works, now=now, why=f"exit {exit_id} ({exit_.reason}) leaves the position")
    Exit.objects.filter(pk=exit_id).update(status=ExitStatus.CLAIMED)
    _place(exit_, position, quantity, attempt=1, now=now)
    position.status = PositionStatus.CLOSING if whole else position.status
    position.version += 1
    position.save(update_fields=["status", "version"])
    journal.record(
        "exit.claimed",
        f"position:{position_id}",
        account_id=position.account_id,
        actor=exit_.actor,
        payload={
            "position": position_id,
            "exit": exit_id,
            "reason": exit_.reason,
            "quantity": numbers.plain(quantity),
        },
    )


def _place(exit_: Exit, position: Position, quantity: Decimal, *, attempt: int, now: datetime) -> Order:
    order = Order.objects.create(
        account=position.account,
        instrument=position.instrument,
        position=position,
        exit=exit_,
        purpose=Purpose.EXIT,
        client_id=client_id(
            Purpose.EXIT, exit_.pk, attempt, account_id=position.account_id, opened_at=position.account.opened_at
        ),
        attempt=attempt,
        buy=position.side == Side.SHORT,
        kind=OrderKind.MARKET,
        tif=TimeInForce.GTC,
        quantity=quantity,
        reduce_only=True,
        actor=exit_.actor,
        why=f"{exit_.reason} seen by {exit_.source}",
    )
    ordering.record(ordering.Told.CREATED, order, actor=exit_.actor, why=order.why, at=now.isoformat())
    bell.ring_orders_after_commit()
    return order


def _taken(position_ids: Sequence[int]) -> dict[int, Decimal]:
    """Return by position what live exit orders may still fill."""
    live = Order.objects.filter(position_id__in=position_ids, purpose=Purpose.EXIT).exclude(status__in=ENDED_ORDERS)
    rows = live.values_list("position_id").annotate(open=Sum(F("quantity") - F("filled"))).order_by()
    return {key: open_ for key, open_ in rows if key is not None}


# --- attempts that follow -------------------------------------------------------------------------------------------
def _again(exit_id: int, position_id: int, now: datetime) -> bool:
    position = locks.position(position_id)
    exit_ = Exit.objects.get(pk=exit_id)
    attempts = list(Order.objects.filter(exit_id=exit_id).order_by("attempt"))
    if exit_.status != ExitStatus.CLAIMED or any(one.status not in ENDED_ORDERS for one in attempts):
        return False
    if position.status == PositionStatus.CLOSED:
        return _supersede(exit_)
    refused = sum(one.status == OrderStatus.REJECTED for one in attempts)
    if refused >= ATTEMPTS:
        return _give_up(exit_, position, attempts[-1].why)
    if _rests(attempts, refused, now):
        return False
    free = numbers.floor_to(max(free_of(position), Decimal(0)), position.instrument.lot_size)
    quantity = min(free, order_exits.rest_of(exit_, position))
    if not quantity:
        return order_exits.write_off(exit_id, now=now)
    last = attempts[-1].attempt if attempts else 0
    works = [one for one in locks.live_orders(position_id) if one.purpose == Purpose.PROTECT]
    ordering.ask_back(works, now=now, why=f"exit {exit_id} ({exit_.reason}) leaves the position")
    _place(exit_, position, quantity, attempt=last + 1, now=now)
    if free_of(position) < position.instrument.lot_size and position.status == PositionStatus.OPEN:
        position.status, position.version = PositionStatus.CLOSING, position.version + 1
        position.save(update_fields=["status", "version"])
    return True


def _rests(attempts: Iterable[Order], refused: int, now: datetime) -> bool:
    ended = max((one.ended_at for one in attempts if one.ended_at and one.status == OrderStatus.REJECTED), default=None)
    return ended is not None and now < ended + min(_PAUSE * 2 ** (refused - 1), _LONGEST_PAUSE)


def _supersede(exit_: Exit) -> bool:
    exit_.status, exit_.note = ExitStatus.SUPERSEDED, "the position was closed by an earlier exit"
    exit_.save(update_fields=["status", "note"])
    return True


def _give_up(exit_: Exit, position: Position, why: str) -> bool:
    """Set an exit aside that the venue refused again and again, and tell: silence would be the worst answer."""
    exit_.status, exit_.note = ExitStatus.FAILED, why[:300]
    exit_.save(update_fields=["status", "note"])
    if position.status == PositionStatus.CLOSING:
        position.status, position.version = PositionStatus.OPEN, position.version + 1
        position.save(update_fields=["status", "version"])
    LevelChange.objects.create(position_id=position.pk, shard=position.instrument.shard)
    payload = {"position": position.pk, "exits": [exit_.pk], "why": why[:300]}
    journal.record("exit.failed", f"position:{position.pk}", account_id=position.account_id, payload=payload)
    bell.announce_after_commit()
    return True
