"""Reading what a settlement depends on, once the positions are locked, and settling each by the domain's rules."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.conf import settings

from apps.domain import fills
from apps.domain.legs import Leg, LegKind
from apps.domain.settlement import Due, Holding, Left, Market, Superseded, Terms, settle
from apps.domain.sides import Side
from apps.domain.states import LegStatus
from apps.trading.locks import Locked
from apps.trading.services import booking
from apps.trading.statements import Statement, array


def decide(locked: Sequence[Locked]) -> tuple[list[booking.Case], list[Left | Superseded]]:
    """Settle the exits that wait for locked positions; return what is to be written and every answer."""
    if not locked:
        return [], []
    due = waiting_for([row.id for row in locked])
    markets = {row.instrument_id: _market(row) for row in locked}
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
        outcome = settle(holding, [item.due for item in exits], markets[row.instrument_id], _terms(row))
        answers += outcome
        batch.append(booking.Case(row=row, holding=holding, due=exits, answers=outcome))
    return batch, answers


_DUE = Statement(
    "exits_due",
    """
    SELECT e.id, e.position_id, e.reason, e.trigger_price, e.peak, e.tick_at, e.leg_id, l.status, l.kind, l.fraction,
        l.level, l.activation, l.trail, l.trail_is_rate, l.due_at
    FROM trading_exit e LEFT JOIN trading_exitleg l ON l.id = e.leg_id
    WHERE e.position_id = ANY(:positions::bigint[]) AND e.status = 'triggered'
    """,
)


def waiting_for(position_ids: Sequence[int]) -> dict[int, list[booking.Waiting]]:
    """Return the exits that wait to be executed, by position; read them after locking the positions."""
    rows = _DUE.run(positions=array(position_ids))
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


def _market(row: Locked) -> Market | None:
    if row.market_price is None or row.market_at is None:
        return None
    return Market(price=row.market_price, bid=row.market_bid, ask=row.market_ask, received_at=row.market_at)


def _terms(row: Locked) -> Terms:
    return Terms(
        tick_size=row.tick_size,
        lot_size=row.lot_size,
        costs=fills.Costs(
            fee_rate=row.fee_rate,
            fee_fixed=row.fee_fixed,
            slippage_rate=row.slippage_rate,
            slippage_fixed=row.slippage_fixed,
        ),
        late_before=row.locked_at - settings.EXIT_LATE_AFTER,
    )
