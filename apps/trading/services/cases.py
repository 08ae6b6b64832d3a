"""Reading what a settlement depends on, once the positions are locked, and settling each by the domain's rules."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import connection

from apps.domain import fills
from apps.domain.legs import Leg, LegKind
from apps.domain.settlement import Due, Holding, Left, Market, Superseded, Terms, settle
from apps.domain.sides import Side
from apps.domain.states import ExitStatus, LegStatus
from apps.market import selectors as market
from apps.trading.models import Exit
from apps.trading.services import booking

POSITION = (
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


def decide(locked: Sequence[booking.Locked]) -> tuple[list[booking.Case], list[Left | Superseded]]:
    """Settle the exits that wait for locked positions; return what is to be written and every answer."""
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
