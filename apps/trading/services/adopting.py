"""What resolving a difference writes, kind by kind: lots and their fills, adjustments of cash, orders.

The account is locked, and the row is claimed already (`resolving`).
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from apps.domain import numbers, reconciling
from apps.domain.errors import Problem, Refused
from apps.domain.executions import traded
from apps.domain.legs import Leg, LegKind
from apps.domain.orders import OrderKind, Purpose, Report
from apps.domain.states import ENDED_ORDERS, OrderStatus, PositionStatus
from apps.market import selectors as market
from apps.market.models import Instrument
from apps.trading import bell
from apps.trading.models import Discrepancy, DiscrepancyKind, Fill, Order, Position, Resolution
from apps.trading.services import legs as leg_rows
from apps.trading.services import order_books, ordering, outside, settling, sheets
from apps.trading.services.outside import Act, Written


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Who resolves a difference, why, and with what values; `gap` is what the person saw."""

    actor: str
    reason: str
    gap: str = ""
    price: Decimal | None = None  # of a lot that is adopted; None: the latest
    stop: Decimal | None = None  # where a lot or order that is adopted is left
    paid: bool = True  # money moved at the venue for it as well


# --- what is held ----------------------------------------------------------------------------------------------------
def adopt_fill(row: Discrepancy, choice: Choice, now: datetime) -> dict[str, Any]:
    """Book an execution of nobody's order at its own price and fee."""
    one = reconciling.fill_of_facts(row.facts)
    instrument = _instrument(row, one.symbol)
    if one.buy is None:
        raise Refused(problem("side", "unknown", "the venue does not say", "adopt the position instead"))
    key = order_books.key(Order(account=row.account), one.execution.id)
    again = Fill.objects.filter(client_id__startswith=key).count()
    made = traded(one.execution, buy=one.buy, base=instrument.base_currency, quote=instrument.quote_currency)
    act = _act(row, choice, instrument, now, key=f"{key}:again{again}" if again else key, at=min(one.execution.at, now))
    return _undoing(act, outside.trade(_with_stop(act, choice, made.net, buy=one.buy), made, buy=one.buy))


def adopt_position(row: Discrepancy, choice: Choice, now: datetime) -> dict[str, Any]:
    """Bring our lots to what the venue holds, at a price; the money as well where none moved at the venue."""
    instrument, gap = _instrument(row, row.subject), Decimal(row.gap)
    act = _act(row, choice, instrument, now)
    made = outside.plain_trade(abs(gap), _price(choice, instrument))
    written = outside.trade(_with_stop(act, choice, abs(gap), buy=gap > 0), made, buy=gap > 0)
    lines = []
    if not choice.paid and written.cash:
        lines = [outside.adjust(row.account, instrument.quote_currency, -written.cash, as_profit=False, now=now)]
    return _undoing(act, written, lines)


def write_off_position(row: Discrepancy, choice: Choice, now: datetime) -> dict[str, Any]:
    """Take what the venue does not hold out of our lots; what it had cost is a loss."""
    if not shrinks(row):
        raise Refused(problem("position", row.subject, "is more there than here", "adopt or ignore it"))
    instrument, gap = _instrument(row, row.subject), Decimal(row.gap)
    act = _act(row, choice, instrument, now)
    # Every lot is left at its own price, so the trade itself neither gains nor loses.
    made = outside.plain_trade(abs(gap), Decimal(1))
    written = outside.trade(act, made, buy=gap > 0, at_cost=True)
    line = outside.adjust(row.account, instrument.quote_currency, -written.cash, as_profit=True, now=now)
    return _undoing(act, written, [line])


def shrinks(row: Discrepancy) -> bool:
    """Say whether the venue holds less than we do, on the same side."""
    if row.kind != DiscrepancyKind.POSITION:
        return False
    ours, theirs = Decimal(row.ours), Decimal(row.theirs)
    return abs(theirs) < abs(ours) and ours * theirs >= 0


def _with_stop(act: Act, choice: Choice, quantity: Decimal, *, buy: bool) -> Act:
    """Give a lot that will be opened its stop; where all of a trade leaves lots, none is needed."""
    facing = Position.objects.filter(
        account=act.account, instrument=act.instrument, side="short" if buy else "long"
    ).exclude(status=PositionStatus.CLOSED)
    held = sum(facing.values_list("remaining", flat=True), Decimal(0))
    if held >= quantity:
        return act
    return replace(act, legs=_stop_legs(choice, act.instrument))


def _stop_legs(choice: Choice, instrument: Instrument) -> list[Leg]:
    if choice.stop is None:
        raise Refused(problem("stop", "none", "is needed: nothing is held without one", "name a price"))
    return [Leg(kind=LegKind.STOP_LOSS, level=_on_grid("stop", choice.stop, instrument))]


def _price(choice: Choice, instrument: Instrument) -> Decimal:
    if choice.price is not None:
        return _on_grid("price", choice.price, instrument)
    quote = market.quote_of(instrument.pk)
    if quote is None:
        raise Refused(problem("price", "none", "is needed: none has come from the market", "name a price"))
    return Decimal(quote.price)


def _on_grid(name: str, value: Decimal, instrument: Instrument) -> Decimal:
    if value.is_finite() and 0 < value < numbers.LIMIT and numbers.on_grid(value, instrument.tick_size):
        return value
    remedy = f"use a multiple of {numbers.plain(instrument.tick_size)}"
    raise Refused(problem(name, str(value)[:40], "must be greater than 0 and on the grid", remedy))


def _instrument(row: Discrepancy, subject: str) -> Instrument:
    found = sheets.instrument_of(row.account, subject) if subject else None
    if found is None:
        raise Refused(problem("instrument", subject or "unknown", "is none of this site", "make it first, or ignore"))
    return found


def _act(
    row: Discrepancy,
    choice: Choice,
    instrument: Instrument,
    now: datetime,
    *,
    key: str = "",
    at: datetime | None = None,
) -> Act:
    count = Fill.objects.filter(client_id__startswith=f"reconcile:{row.pk}:").count()
    return Act(
        account=row.account,
        instrument=instrument,
        key=key or f"reconcile:{row.pk}:{count}",
        actor=choice.actor,
        reason=choice.reason,
        at=at or now,
        now=now,
    )


def _undoing(act: Act, written: Written, lines: list[int] | None = None) -> dict[str, Any]:
    return {"instrument": act.instrument.pk, "parts": written.parts, "lines": lines or []}


# --- money -----------------------------------------------------------------------------------------------------------
def adopt_balance(row: Discrepancy, choice: Choice, now: datetime) -> dict[str, Any]:
    """Book what came or went at the venue as paid in or out."""
    line = outside.adjust(row.account, row.subject, numbers.money(Decimal(row.gap)), as_profit=False, now=now)
    return {"parts": [], "lines": [line]}


def write_off_balance(row: Discrepancy, choice: Choice, now: datetime) -> dict[str, Any]:
    """Book what came or went at the venue as a gain or a loss."""
    line = outside.adjust(row.account, row.subject, numbers.money(Decimal(row.gap)), as_profit=True, now=now)
    return {"parts": [], "lines": [line]}


# --- orders ----------------------------------------------------------------------------------------------------------
def adopt_order(row: Discrepancy, choice: Choice, now: datetime) -> None:
    """Make an order at the venue ours: what it fills becomes a lot with a stop."""
    facts = row.facts
    instrument = _instrument(row, facts.get("symbol", ""))
    name = facts.get("client_id") or facts.get("venue_id", "")
    _may_be_ours(row, name, instrument)
    order = Order.objects.create(
        account=row.account,
        instrument=instrument,
        purpose=Purpose.ENTRY,
        client_id=name[:64],
        venue_id=facts.get("venue_id", "")[:80],
        buy=facts["buy"],
        kind=OrderKind(facts["kind"]),
        quantity=Decimal(facts["quantity"]),
        limit_price=_amount(facts, "limit_price"),
        stop_price=_amount(facts, "stop_price"),
        legs=leg_rows.plain(_stop_legs(choice, instrument)),
        status=OrderStatus.ACCEPTED,
        actor=choice.actor,
        why=f"adopted: {choice.reason}"[:300],
        sent_at=now,
        accepted_at=now,
        look_at=now,
    )
    ordering.record(ordering.Told.CREATED, order, actor=choice.actor, why=order.why, at=now.isoformat())
    bell.ring_orders_after_commit()


def _may_be_ours(row: Discrepancy, name: str, instrument: Instrument) -> None:
    facts, take_back = row.facts, "take it back at the venue, or ignore it"
    lacks = [key for key in ("buy", "kind", "quantity") if facts.get(key) is None]
    if lacks:
        raise Refused(problem("order", row.subject, f"the venue does not tell its {', '.join(lacks)}", take_back))
    if Order.objects.filter(client_id=name[:64]).exists():
        raise Refused(problem("order", name[:64], "was ours before and has ended here", take_back))
    facing = Position.objects.filter(account=row.account, instrument=instrument).exclude(status=PositionStatus.CLOSED)
    if facing.filter(side="short" if facts["buy"] else "long").exists():
        raise Refused(problem("order", row.subject, "would leave lots that leave by their own exits", take_back))
    fills = Discrepancy.objects.filter(account=row.account, kind=DiscrepancyKind.UNKNOWN_FILL)
    if fills.filter(resolution=Resolution.ADOPTED, facts__order__in=(name, facts.get("venue_id", ""))).exists():
        raise Refused(problem("order", row.subject, "has fills that were adopted one by one", take_back))


def _amount(facts: dict[str, Any], name: str) -> Decimal | None:
    return None if facts.get(name) is None else Decimal(facts[name])


def give_up_order(row: Discrepancy, choice: Choice, now: datetime) -> None:
    """End an order of ours that the venue does not have."""
    order = Order.objects.get(pk=row.facts["order"])
    report = Report(
        client_id=order.client_id,
        venue_id=order.venue_id,
        status=OrderStatus.CANCELLED,
        filled=order.filled,
        reason=f"the venue does not have it: {choice.reason}",
    )
    settled = settling.settle(order.pk, report, now=now)
    if settled.status not in ENDED_ORDERS:
        rule = f"is {settled.status}, with fills still to come"
        raise Refused(problem("order", f"#{order.pk}", rule, "wait for the next comparison"))


def problem(name: str, value: str, rule: str, remedy: str) -> Problem:
    """Return a problem of a field, in one line."""
    return Problem(field=name, value=value, rule=rule, remedy=remedy)
