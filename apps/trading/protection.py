"""Stops kept at venues while the site may be away: what is wanted against what the venue has confirmed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from django.db import connection

from apps.domain import numbers
from apps.domain.orders import Purpose
from apps.domain.sides import Side
from apps.domain.states import ENDED_ORDERS, OrderStatus
from apps.journal.models import Event
from apps.trading.models import Account, Order

OPTION = "protect"  # of the account's broker options
_CHANGES: Final = ("order.amend_asked", "order.amend_refused")  # what the journal says of a stop changed in place

# Where each stop of an open lot rests: a trailing one behind the best price of whatever leg it rides.
_LEVELS = """
SELECT p.id, p.account_id, p.side, p.quantity, p.remaining, i.symbol, i.tick_size, i.lot_size, l.id, l.fraction,
    CASE WHEN l.kind IN ('stop_loss', 'break_even') THEN l.level
        WHEN l.trail_is_rate THEN m.peak - m.peak * l.trail * CASE WHEN l.rises THEN -1 ELSE 1 END
        ELSE m.peak - l.trail * CASE WHEN l.rises THEN -1 ELSE 1 END END,
    EXISTS (SELECT 1 FROM trading_exit e WHERE e.position_id = p.id AND e.status IN ('triggered', 'claimed'))
FROM trading_position p JOIN market_instrument i ON i.id = p.instrument_id
LEFT JOIN trading_exitleg l ON l.position_id = p.id AND l.status = 'live'
    AND l.kind IN ('stop_loss', 'trailing_stop', 'break_even')
LEFT JOIN LATERAL (
    WITH RECURSIVE chain AS (
        SELECT w.leg_id, w.peak, w.rides FROM trading_watermark w WHERE w.leg_id = l.id
        UNION
        SELECT w.leg_id, w.peak, w.rides FROM trading_watermark w JOIN chain c ON w.leg_id = c.rides
    ) SELECT peak FROM chain ORDER BY rides IS NULL DESC, leg_id LIMIT 1
) m ON true
WHERE p.status <> 'closed' AND p.account_id = ANY(%s::bigint[])
ORDER BY p.id
"""


class Confirmed(NamedTuple):
    """The stop of a lot as far as the venue has it."""

    order_id: int
    status: OrderStatus
    quantity: Decimal  # not filled yet
    level: Decimal | None
    changing: bool  # being sent, taken back, amended, or in doubt


class Protection(NamedTuple):
    """What is wanted at the venue for one lot, and what is there."""

    position_id: int
    account_id: int
    symbol: str
    buy: bool
    tick_size: Decimal
    leg_id: int | None  # the nearest stop
    level: Decimal | None  # None: nothing is wanted
    quantity: Decimal
    confirmed: Confirmed | None
    orders: int  # made for it so far
    refused: int  # of them, those the venue refused
    changed_at: datetime | None  # when the last was made or asked to be changed
    fixed: bool  # the venue has refused to change the present one in place

    @property
    def agrees(self) -> bool:
        """Say whether the venue has exactly what is wanted."""
        if self.level is None or self.confirmed is None:
            return self.level is None and self.confirmed is None
        there = (self.confirmed.level, self.confirmed.quantity)
        return there == (self.level, self.quantity) and not self.confirmed.changing


def asks(account: Account) -> bool:
    """Say whether an account wants stops kept at its venue."""
    return not account.instant and bool(account.broker_options.get(OPTION))


def protections(account_ids: Sequence[int]) -> list[Protection]:
    """Return, for each open lot of accounts that ask for it, the stop that is wanted and the one that is confirmed."""
    with connection.cursor() as cursor:
        cursor.execute(_LEVELS, [list(account_ids)])
        rows = cursor.fetchall()
    lots: dict[int, list[tuple[object, ...]]] = {}
    for row in rows:
        lots.setdefault(row[0], []).append(row)
    orders = _orders(list(lots))
    changes = _changes([one.pk for found in orders.values() for one in found if one.status not in ENDED_ORDERS])
    return [_protection(legs, orders.get(position_id, []), changes) for position_id, legs in lots.items()]


def _orders(position_ids: Sequence[int]) -> dict[int, list[Order]]:
    found: dict[int, list[Order]] = {}
    for order in Order.objects.filter(position_id__in=position_ids, purpose=Purpose.PROTECT).order_by("attempt"):
        found.setdefault(order.position_id or 0, []).append(order)
    return found


class _Change(NamedTuple):
    """The last thing the journal says of changing a stop in place."""

    at: datetime
    refused: bool


def _changes(order_ids: Sequence[int]) -> dict[int, _Change]:
    subjects = {f"order:{key}": key for key in order_ids}
    events = Event.objects.filter(subject__in=subjects, kind__in=_CHANGES)
    asked = {
        row.subject: datetime.fromisoformat(row.payload["at"])
        for row in events.filter(kind=_CHANGES[0]).order_by("subject", "-id").distinct("subject")
    }
    last = events.order_by("subject", "-id").distinct("subject").values_list("subject", "kind")
    return {subjects[name]: _Change(asked[name], kind == _CHANGES[1]) for name, kind in last if name in asked}


def _protection(
    legs: Sequence[tuple[object, ...]], orders: Sequence[Order], changes: Mapping[int, _Change]
) -> Protection:
    position_id, account_id, side_, quantity, remaining, symbol, tick, lot, *_ = legs[0]
    side = Side(str(side_))
    leaving = any(leg[11] for leg in legs)
    levels = [(leg[10], leg[8], leg[9]) for leg in legs if leg[10] is not None]
    nearest = None if leaving or not levels else max(levels, key=lambda one: one[0] * side.sign)  # type: ignore[operator] # a row of the driver is untyped
    level, leg_id, fraction = nearest or (None, None, Decimal(0))
    to_grid = numbers.floor_to if side is Side.LONG else numbers.ceil_to
    wanted = _part(quantity, remaining, fraction, lot)  # type: ignore[arg-type] # as above
    live = [one for one in orders if one.status not in ENDED_ORDERS]
    changed = changes.get(live[-1].pk) if live else None
    made = [at for one in orders for at in (one.created_at, one.sent_at) if at]
    return Protection(
        position_id=position_id,  # type: ignore[arg-type] # as above
        account_id=account_id,  # type: ignore[arg-type] # as above
        symbol=str(symbol),
        buy=side is Side.SHORT,
        tick_size=tick,  # type: ignore[arg-type] # as above
        leg_id=leg_id if wanted else None,  # type: ignore[arg-type] # as above
        level=to_grid(level, tick) if level is not None and wanted else None,  # type: ignore[arg-type] # as above
        quantity=wanted if level is not None else Decimal(0),
        confirmed=_confirmed(live[-1]) if live else None,
        orders=orders[-1].attempt if orders else 0,
        refused=sum(one.status == OrderStatus.REJECTED for one in orders),
        changed_at=max([*made, changed.at] if changed else made, default=None),
        fixed=changed is not None and changed.refused,
    )


def _part(quantity: Decimal, remaining: Decimal, fraction: Decimal, lot: Decimal) -> Decimal:
    """Return what a stop for a fraction of a lot is for, in whole lots and with what would be left unsellable."""
    wanted = min(numbers.floor_to(quantity * fraction, lot), remaining)
    return numbers.floor_to(remaining if remaining - wanted < lot else wanted, lot)


def _confirmed(order: Order) -> Confirmed:
    settled = order.status in (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)
    return Confirmed(
        order_id=order.pk,
        status=OrderStatus(order.status),
        quantity=order.quantity - order.filled,
        level=order.stop_price,
        changing=not settled or order.cancel_asked_at is not None or order.amendment is not None,
    )
