"""Fills and ledger lines of executions at a venue: each execution once, whatever is reported how often."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from apps.domain import fills, numbers
from apps.domain.executions import Traded
from apps.domain.sides import Side
from apps.trading.models import Exit, Fill, LedgerEntry, Order, Position

_LONGEST = 150  # characters of a key; the column has a few more, for the second part of an execution that was cut
BEYOND = ":beyond"


def key(order: Order, execution_id: str) -> str:
    """Return what an execution is called here: unique, because it is unique within an account at its venue."""
    told = f"{order.account_id}:{order.account.broker}:{execution_id}"
    if len(told) <= _LONGEST:
        return told
    return f"{order.account_id}:{order.account.broker}:{hashlib.sha256(execution_id.encode()).hexdigest()}"


def known(order: Order, execution_ids: Iterable[str]) -> frozenset[str]:
    """Return which of these executions are booked already, for whatever order."""
    keys = {key(order, one): one for one in execution_ids}
    booked = Fill.objects.filter(client_id__in=list(keys)).values_list("client_id", flat=True)
    return frozenset(keys[one] for one in booked)


def open_line(side: Side, one: Traded) -> fills.Line:
    """Return the ledger line of an execution that opens or adds to a lot."""
    return fills.opening(side.sign, one.price, one.net, one.fee)


def book(
    order: Order,
    position: Position,
    one: Traded,
    line: fills.Line,
    *,
    at: datetime,
    exit_: Exit | None = None,
    part: str = "",
) -> Fill:
    """Write one fill and its ledger lines; a fee in a third asset has a line in that asset."""
    fill = Fill.objects.create(
        account_id=order.account_id,
        instrument_id=order.instrument_id,
        position=position,
        exit=exit_,
        order=order,
        client_id=key(order, one.id) + part,
        buy=order.buy,
        quantity=one.gross,
        price=one.price,
        fee=one.fee,
        fee_asset=one.fee_asset,
        fee_paid=one.fee_paid if one.fee_asset else None,
        net=None if one.net == one.gross else one.net,
        at=at,
    )
    lines = [_line(order, fill, order.instrument.quote_currency, line, at, "open" if exit_ is None else "close")]
    if one.third:
        paid = fills.Line(cash=-one.third, holdings=Decimal(0), fees=one.third, pnl=Decimal(0))
        lines.append(_line(order, fill, one.fee_asset, paid, at, "fee"))
    LedgerEntry.objects.bulk_create(lines)
    return fill


def _line(order: Order, fill: Fill, currency: str, line: fills.Line, at: datetime, kind: str) -> LedgerEntry:
    return LedgerEntry(
        account_id=order.account_id,
        currency=currency,
        fill=fill,
        kind=kind,
        cash=line.cash,
        holdings=line.holdings,
        fees=line.fees,
        pnl=line.pnl,
        at=at,
    )


def take_out(position: Position, line: fills.Line, *, now: datetime) -> None:
    """Write the ledger line that takes the unsellable rest of a lot out of the books."""
    LedgerEntry.objects.create(
        account_id=position.account_id,
        currency=position.instrument.quote_currency,
        kind="dust",
        position=position,
        quantity=numbers.stored(position.remaining),
        holdings=line.holdings,
        pnl=line.pnl,
        at=now,
    )
