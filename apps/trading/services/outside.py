"""Lots that follow what happened outside of this site: opened, reduced and brought back without an order.

Each has a fill and a ledger line like any other, so every invariant of the books holds. Undoing writes the opposite
lines: nothing is ever taken out of the books. The account must be locked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from apps.domain import executions, fills, numbers
from apps.domain.errors import Problem, Refused
from apps.domain.executions import Traded
from apps.domain.legs import ExitReason, Leg, LegKind
from apps.domain.orders import Purpose
from apps.domain.sides import Side
from apps.domain.states import LIVE_EXITS, ExitStatus, LegStatus, OrderStatus, PositionStatus
from apps.journal import services as journal
from apps.market.models import Instrument
from apps.trading import bell, locks
from apps.trading.models import Account, Exit, ExitLeg, Fill, LedgerEntry, LevelChange, Position
from apps.trading.services import facts, ordering
from apps.trading.services import legs as leg_rows

SOURCE: Final = "reconcile"
_BOOKS = ("cash", "holdings", "fees", "pnl", "capital")


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Who does it, why, and what its fills are called."""

    account: Account
    instrument: Instrument
    key: str
    actor: str
    reason: str
    at: datetime  # when it happened
    now: datetime
    legs: Sequence[Leg] = ()  # of a lot that is opened


@dataclass(slots=True)
class Written:
    """What was written, as undoing needs it."""

    parts: list[dict[str, Any]] = field(default_factory=list)
    cash: Decimal = Decimal(0)  # what the ledger lines moved in the quote currency


def plain_trade(quantity: Decimal, price: Decimal) -> Traded:
    """Return a trade that cost no fee."""
    zero = Decimal(0)
    return Traded(id="", gross=quantity, net=quantity, price=price, fee=zero, fee_asset="", fee_paid=zero, third=zero)


def trade(act: Act, one: Traded, *, buy: bool, at_cost: bool = False) -> Written:
    """Book a trade: it leaves the lots facing the other way, oldest first; what is left of it is a lot of its own.

    `at_cost` books each lot at what it was entered at. Raises Refused while an order of such a lot is on its way.
    """
    written, rest = Written(), one
    for lot in _facing(act, Side.SHORT if buy else Side.LONG):
        parts = executions.cut(replace(rest, price=lot.entry_price) if at_cost else rest, lot.remaining)
        if parts.closes is not None:
            _leave(act, lot, parts.closes, written)
        if parts.beyond is None:
            return written
        rest = parts.beyond
    _open(act, rest, Side.LONG if buy else Side.SHORT, written)
    return written


def _facing(act: Act, side: Side) -> list[Position]:
    rows = Position.objects.filter(account=act.account, instrument=act.instrument, side=side)
    found = [locks.position(pk) for pk in rows.exclude(status=PositionStatus.CLOSED).values_list("pk", flat=True)]
    lots = sorted(
        (lot for lot in found if lot.status != PositionStatus.CLOSED), key=lambda lot: (lot.opened_at, lot.pk)
    )
    for lot in lots:
        _at_rest(lot)
    return lots


def _at_rest(lot: Position) -> None:
    """Refuse a lot that an order of ours may change at this moment; a stop kept at the venue is taken back later."""
    for order in locks.live_orders(lot.pk):
        if order.purpose != Purpose.PROTECT and order.status != OrderStatus.NEW:
            rule = f"has order {order.pk} on its way ({order.status})"
            raise Refused(
                Problem(field="position", value=f"#{lot.pk}", rule=rule, remedy="try again once it has ended")
            )


# --- opening ---------------------------------------------------------------------------------------------------------
def _open(act: Act, one: Traded, side: Side, written: Written) -> None:
    lot = Position.objects.create(
        account=act.account,
        instrument=act.instrument,
        side=side,
        quantity=one.net,
        remaining=one.net,
        cost=numbers.money(one.price * one.net),
        entry_price=one.price,
        opened_at=act.at,
        fees=one.fee,
    )
    line = fills.opening(side.sign, one.price, one.net, one.fee)
    fill = _fill(act, lot, one, None, written)
    _lines(act, fill, one, line)
    _protect(act, lot, act.legs, one.price)
    written.parts.append({"fill": fill.pk, "lot": lot.pk, "opened": True})
    written.cash += line.cash


def _protect(act: Act, lot: Position, legs: Sequence[Leg], price: Decimal) -> None:
    rows = leg_rows.add([(lot, legs, price)], act.now)[lot.pk]
    LevelChange.objects.create(position_id=lot.pk, shard=act.instrument.shard)
    _tell("position.created", act, lot, {**facts.of_position(lot, rows)})


# --- leaving ---------------------------------------------------------------------------------------------------------
def _leave(act: Act, lot: Position, one: Traded, written: Written) -> None:
    left = executions.leave(Side(lot.side).sign, lot.remaining, lot.cost, lot.entry_price, one)
    exit_ = _exit(act, lot, left.quantity, one.price, one.fee, left.pnl)
    legs = lot.legs.filter(status=LegStatus.LIVE).order_by("pk")
    kept = leg_rows.plain([_leg_of(row) for row in legs])
    fill = _fill(act, lot, one, exit_, written)
    _lines(act, fill, one, left.line)
    lot.remaining -= left.quantity
    lot.cost -= left.basis
    lot.exit_notional = numbers.stored(lot.exit_notional + one.price * left.quantity)
    lot.fees += one.fee
    lot.realised_pnl += left.pnl
    _save_left(act, lot, exit_)
    written.parts.append({"fill": fill.pk, "lot": lot.pk, "opened": False, "legs": kept})
    written.cash += left.line.cash


def _leg_of(row: ExitLeg) -> Leg:
    return Leg(
        kind=LegKind(row.kind),
        fraction=row.fraction,
        level=row.level,
        activation=row.activation,
        trail=row.trail,
        trail_is_rate=row.trail_is_rate,
        due_at=row.due_at,
    )


def _exit(act: Act, lot: Position, quantity: Decimal, price: Decimal, fee: Decimal, pnl: Decimal) -> Exit:
    return Exit.objects.create(
        position=lot,
        reason=ExitReason.MANUAL,
        status=ExitStatus.DONE,
        source=SOURCE,
        actor=act.actor,
        note=act.reason[:300],
        tick_at=act.now,
        seen_at=act.now,
        closed_at=act.now,
        quantity=quantity,
        fill_price=price,
        fee=fee,
        pnl=pnl,
    )


def _save_left(act: Act, lot: Position, exit_: Exit) -> None:
    """Save a lot that was left in part or as a whole, and end what hangs on one that is empty."""
    if not lot.remaining:
        _end_exits(lot, act.now)
        lot.legs.filter(status=LegStatus.LIVE).update(status=LegStatus.CANCELLED)
        ordering.ask_back(locks.live_orders(lot.pk), now=act.now, why="its position is closed", actor=act.actor)
        lot.status, lot.closed_at = PositionStatus.CLOSED, act.now
    lot.exit_reason, lot.last_exit_id = exit_.reason, exit_.pk
    lot.version += 1
    lot.save()
    LevelChange.objects.create(position_id=lot.pk, shard=act.instrument.shard)
    told = {**facts.of_position(lot), "exit_reason": str(exit_.reason), "exit_price": facts.text(lot.exit_price)}
    del told["legs"]
    kind = "position.reduced" if lot.remaining else "position.closed"
    _tell(kind, act, lot, {**told, "exits": [exit_.pk], "tick_to_close_ms": 0})


def _end_exits(lot: Position, now: datetime) -> None:
    for exit_ in Exit.objects.filter(position=lot, status__in=LIVE_EXITS):
        begun = exit_.quantity is not None
        exit_.status = ExitStatus.DONE if begun else ExitStatus.SUPERSEDED
        exit_.closed_at = now if begun else None
        exit_.note = exit_.note or "what was held is gone at the venue"
        exit_.save(update_fields=["status", "closed_at", "note"])
        if begun and exit_.leg_id is not None:
            lot.legs.filter(pk=exit_.leg_id).update(status=LegStatus.DONE)


# --- undoing ---------------------------------------------------------------------------------------------------------
def undo(act: Act, parts: Sequence[dict[str, Any]]) -> None:
    """Write the opposite of what was written: lots that were opened are left, what was left comes back as a lot.

    Raises Refused when a lot that was opened has changed since.
    """
    taken = Written()
    for part in reversed(parts):
        fill = Fill.objects.select_related("exit").get(pk=part["fill"])
        lot = locks.position(part["lot"])
        if part["opened"]:
            _take_back(act, lot, fill, taken)
        else:
            _bring_back(act, lot, fill, part["legs"], taken)


def _take_back(act: Act, lot: Position, fill: Fill, written: Written) -> None:
    live = Exit.objects.filter(position=lot, status__in=LIVE_EXITS).exists() or locks.live_orders(lot.pk)
    if lot.status != PositionStatus.OPEN or lot.remaining != lot.quantity or live:
        rule = "has changed since it was made"
        raise Refused(Problem(field="position", value=f"#{lot.pk}", rule=rule, remedy="leave it as it is, or close it"))
    exit_ = _exit(act, lot, lot.remaining, fill.price, -fill.fee, Decimal(0))
    _reverse(act, lot, fill, exit_, "close", written)
    lot.exit_notional = numbers.stored(lot.exit_notional + fill.price * lot.remaining)
    lot.fees -= fill.fee
    lot.remaining = lot.cost = Decimal(0)
    _save_left(act, lot, exit_)


def _bring_back(act: Act, before: Position, fill: Fill, legs: Sequence[dict[str, Any]], written: Written) -> None:
    exit_ = fill.exit
    if exit_ is None or exit_.pnl is None:
        raise ValueError(f"fill {fill.pk} left no position")
    quantity = fill.quantity if fill.net is None else fill.net
    line = LedgerEntry.objects.exclude(kind="fee").get(fill=fill)
    lot = Position.objects.create(
        account=act.account,
        instrument=act.instrument,
        side=before.side,
        quantity=quantity,
        remaining=quantity,
        cost=abs(line.holdings),
        entry_price=before.entry_price,
        opened_at=act.now,
        fees=-fill.fee,
        realised_pnl=-exit_.pnl,
    )
    _reverse(act, lot, fill, None, "open", written)
    _protect(act, lot, leg_rows.of_plain(legs), before.entry_price)


def _reverse(act: Act, lot: Position, fill: Fill, exit_: Exit | None, kind: str, written: Written) -> None:
    """Write the opposite of a fill and of each of its ledger lines."""
    opposite = Fill.objects.create(
        account=act.account,
        instrument=act.instrument,
        position=lot,
        exit=exit_,
        client_id=f"{act.key}:{fill.pk}",
        buy=not fill.buy,
        quantity=fill.quantity,
        price=fill.price,
        fee=-fill.fee,
        fee_asset=fill.fee_asset,
        fee_paid=None if fill.fee_paid is None else -fill.fee_paid,
        net=fill.net,
        at=act.now,
    )
    lines = LedgerEntry.objects.filter(fill=fill).order_by("pk")
    LedgerEntry.objects.bulk_create(
        _opposite(line, opposite, line.kind if line.kind == "fee" else kind, act.now) for line in lines
    )
    written.parts.append({"fill": opposite.pk, "lot": lot.pk})


def _opposite(line: LedgerEntry, fill: Fill | None, kind: str, now: datetime) -> LedgerEntry:
    amounts = {name: -getattr(line, name) for name in _BOOKS}
    return LedgerEntry(account_id=line.account_id, currency=line.currency, fill=fill, kind=kind, at=now, **amounts)


# --- money -----------------------------------------------------------------------------------------------------------
def adjust(account: Account, currency: str, cash: Decimal, *, as_profit: bool, now: datetime) -> int:
    """Move cash to what the venue says, against profit (a loss where negative) or capital; return the line's number."""
    against = {"pnl": -cash} if as_profit else {"capital": -cash}
    line = LedgerEntry.objects.create(account=account, currency=currency, kind="adjust", cash=cash, at=now, **against)
    return line.pk


def unadjust(line_id: int, now: datetime) -> None:
    """Write the opposite of an adjustment."""
    _opposite(LedgerEntry.objects.get(pk=line_id), None, "adjust", now).save()


# --- rows ------------------------------------------------------------------------------------------------------------
def _fill(act: Act, lot: Position, one: Traded, exit_: Exit | None, written: Written) -> Fill:
    number = len(written.parts)
    return Fill.objects.create(
        account=act.account,
        instrument=act.instrument,
        position=lot,
        exit=exit_,
        client_id=act.key if not number else f"{act.key}:{number}",
        buy=(lot.side == Side.LONG) == (exit_ is None),
        quantity=one.gross,
        price=one.price,
        fee=one.fee,
        fee_asset=one.fee_asset,
        fee_paid=one.fee_paid if one.fee_asset else None,
        net=None if one.net == one.gross else one.net,
        at=act.at,
    )


def _lines(act: Act, fill: Fill, one: Traded, line: fills.Line) -> None:
    kind = "open" if fill.exit_id is None else "close"
    lines = [(act.instrument.quote_currency, kind, line)]
    if one.third:
        paid = fills.Line(cash=-one.third, holdings=Decimal(0), fees=one.third, pnl=Decimal(0))
        lines.append((one.fee_asset, "fee", paid))
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            account=act.account,
            currency=currency,
            fill=fill,
            kind=name,
            cash=each.cash,
            holdings=each.holdings,
            fees=each.fees,
            pnl=each.pnl,
            at=act.at,
        )
        for currency, name, each in lines
    )


def _tell(kind: str, act: Act, lot: Position, payload: dict[str, Any]) -> None:
    told = {**payload, "source": SOURCE, "reason": act.reason}
    journal.record(kind, f"position:{lot.pk}", account_id=lot.account_id, actor=act.actor, payload=told)
    bell.announce_after_commit()
