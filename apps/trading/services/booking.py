"""Writing a batch of executed exits: positions, legs, exits, fills, ledger, events, each in one set-based statement."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection, transaction

from apps.domain import numbers
from apps.domain.settlement import Due, Holding, Left, Superseded
from apps.domain.states import ExitStatus, LegStatus, PositionStatus


class Locked(NamedTuple):
    """A locked position with what its settlement depends on, in the order exits.py selects it."""

    id: int
    account_id: int
    instrument_id: int
    side: str
    quantity: Decimal
    remaining: Decimal
    cost: Decimal
    entry_price: Decimal
    exit_notional: Decimal
    fees: Decimal
    realised_pnl: Decimal
    opened_at: datetime
    signal_id: int | None
    symbol: str
    shard: int
    currency: str
    tick_size: Decimal
    lot_size: Decimal
    fee_rate: Decimal
    fee_fixed: Decimal
    slippage_rate: Decimal
    slippage_fixed: Decimal


class Waiting(NamedTuple):
    """An exit that waits, and the leg it belongs to."""

    due: Due
    leg_id: int | None


@dataclass(slots=True, kw_only=True)
class Case:
    """One position of a batch: the locked row, what is held after settling, the exits and their answers."""

    row: Locked
    holding: Holding
    due: list[Waiting]
    answers: list[Left | Superseded] = field(default_factory=list)

    @property
    def left(self) -> list[Left]:
        """The exits that were executed, in order."""
        return [answer for answer in self.answers if isinstance(answer, Left)]


_POSITIONS = """
UPDATE trading_position p SET remaining = v.remaining, cost = v.cost, exit_notional = v.notional, fees = v.fees,
    realised_pnl = v.pnl, status = v.status, exit_reason = v.reason, last_exit_id = v.last_exit,
    closed_at = CASE WHEN v.status = 'closed' THEN clock_timestamp() END, version = p.version + 1
FROM unnest(%s::bigint[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[], %s::text[],
    %s::text[], %s::bigint[]) AS v(id, remaining, cost, notional, fees, pnl, status, reason, last_exit)
WHERE p.id = v.id
"""
_LEGS_DONE = "UPDATE trading_exitleg SET status = %s WHERE id = ANY(%s::bigint[])"
_LEGS_CANCELLED = "UPDATE trading_exitleg SET status = %s WHERE position_id = ANY(%s::bigint[]) AND status = %s"
_EXITS = """
UPDATE trading_exit e SET status = v.status, drain_id = %s, closed_at = clock_timestamp(), quantity = v.quantity,
    fill_price = v.price, fee = v.fee, pnl = v.pnl, late = v.late
FROM unnest(%s::bigint[], %s::text[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[], %s::bool[])
    AS v(id, status, quantity, price, fee, pnl, late)
WHERE e.id = v.id
"""
_SUPERSEDED = """
UPDATE trading_exit e SET status = %s, drain_id = %s, closed_at = clock_timestamp(), note = v.why
FROM unnest(%s::bigint[], %s::text[]) AS v(id, why) WHERE e.id = v.id
"""
_FILLS = """
WITH v AS (
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bool[], %s::numeric[],
        %s::numeric[], %s::numeric[], %s::text[], %s::numeric[], %s::numeric[], %s::numeric[])
    AS v(account_id, instrument_id, position_id, exit_id, buy, quantity, price, fee, currency, cash, holdings, pnl)
), f AS (
    INSERT INTO trading_fill (account_id, instrument_id, position_id, exit_id, client_id, buy, quantity, price, fee, at)
    SELECT account_id, instrument_id, position_id, exit_id, 'x' || exit_id || '-1', buy, quantity, price, fee,
        clock_timestamp()
    FROM v RETURNING id, exit_id, at
)
INSERT INTO trading_ledgerentry (account_id, currency, fill_id, kind, cash, holdings, fees, pnl, capital, at)
SELECT v.account_id, v.currency, f.id, 'close', v.cash, v.holdings, v.fee, v.pnl, 0, f.at FROM v JOIN f USING (exit_id)
"""
_EVENTS = """
INSERT INTO journal_event (kind, subject, account_id, actor, payload)
SELECT v.kind, 'position:' || v.position, v.account, '', v.payload || jsonb_build_object('closed_at', p.closed_at,
    'tick_to_close_ms', round(extract(epoch FROM clock_timestamp() - v.tick_at) * 1000, 3))
FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::jsonb[])
    AS v(kind, position, account, tick_at, payload)
JOIN trading_position p ON p.id = v.position
"""
_CHANGES = """
INSERT INTO trading_levelchange (position_id, shard) SELECT * FROM unnest(%s::bigint[], %s::smallint[])
"""


def write(batch: Sequence[Case], *, worker: str) -> int:
    """Write everything a batch of settled positions changes and return the id of its drain row."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO trading_drain (worker, claimed_at) VALUES (%s, clock_timestamp()) RETURNING id", [worker]
        )
        drain_id = int(cursor.fetchone()[0])
        moved = [case for case in batch if case.left]
        if moved:
            cursor.execute(_POSITIONS, _columns(map(_position, moved)))
            cursor.execute(_LEGS_DONE, [LegStatus.DONE, _array(_legs_done(moved))])
            closed = [case.row.id for case in moved if not case.holding.remaining]
            cursor.execute(_LEGS_CANCELLED, [LegStatus.CANCELLED, _array(closed), LegStatus.LIVE])
            left = [(case, item) for case in moved for item in case.left]
            cursor.execute(_EXITS, [drain_id, *_columns(_exit(item) for _, item in left)])
            cursor.execute(_FILLS, _columns(_fill(case, item) for case, item in left))
            cursor.execute(_EVENTS, [list(column) for column in zip(*map(_event, moved), strict=True)])
        _supersede(cursor, batch, drain_id)
        cursor.execute(_CHANGES, _columns((case.row.id, case.row.shard) for case in batch))
    return drain_id


def stamp_commit(drain_id: int) -> None:
    """Write down that the batch is committed by now; needs no durability of its own, so it waits for no disk."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute("UPDATE trading_drain SET committed_at = clock_timestamp() WHERE id = %s", [drain_id])


def _supersede(cursor: Any, batch: Sequence[Case], drain_id: int) -> None:
    lost = [item for case in batch for item in case.answers if isinstance(item, Superseded)]
    if lost:
        ids, why = [item.exit_id for item in lost], [item.why for item in lost]
        cursor.execute(_SUPERSEDED, [ExitStatus.SUPERSEDED, drain_id, ids, why])


def _position(case: Case) -> tuple[Any, ...]:
    row, holding, left = case.row, case.holding, case.left
    return (
        row.id,
        holding.remaining,
        holding.cost,
        numbers.stored(row.exit_notional + sum(item.price * item.quantity for item in left)),
        row.fees + sum(item.fee for item in left),
        row.realised_pnl + sum(item.pnl for item in left),
        _status(case),
        _reason(case),
        left[-1].exit_id,
    )


def _status(case: Case) -> PositionStatus:
    return PositionStatus.OPEN if case.holding.remaining else PositionStatus.CLOSED


def _reason(case: Case) -> str:
    """Name the reason of the last executed exit."""
    return str(_last(case).reason)


def _last(case: Case) -> Due:
    last = case.left[-1].exit_id
    return next(item.due for item in case.due if item.due.exit_id == last)


def _legs_done(cases: Iterable[Case]) -> list[int]:
    return [
        item.leg_id
        for case in cases
        for done in [{answer.exit_id for answer in case.left}]
        for item in case.due
        if item.leg_id is not None and item.due.exit_id in done
    ]


def _exit(item: Left) -> tuple[Any, ...]:
    return (item.exit_id, ExitStatus.DONE, item.quantity, item.price, item.fee, item.pnl, item.late)


def _fill(case: Case, item: Left) -> tuple[Any, ...]:
    row, line = case.row, item.line
    return (
        row.account_id,
        row.instrument_id,
        row.id,
        item.exit_id,
        row.side == "short",
        item.quantity,
        item.price,
        item.fee,
        row.currency,
        line.cash,
        line.holdings,
        line.pnl,
    )


def _event(case: Case) -> tuple[str, int, int, datetime, str]:
    row, left = case.row, case.left
    status = _status(case)
    notional = row.exit_notional + sum(item.price * item.quantity for item in left)
    payload = {
        "position": row.id,
        "account": row.account_id,
        "instrument": row.symbol,
        "side": row.side,
        "quantity": numbers.plain(row.quantity),
        "remaining": numbers.plain(case.holding.remaining),
        "entry_price": numbers.plain(row.entry_price),
        "status": str(status),
        "exit_reason": _reason(case),
        "exit_price": numbers.plain(numbers.average(notional, row.quantity - case.holding.remaining)),
        "realised_pnl": numbers.plain(row.realised_pnl + sum(item.pnl for item in left)),
        "fees": numbers.plain(row.fees + sum(item.fee for item in left)),
        "opened_at": row.opened_at.isoformat(),
        "exits": [item.exit_id for item in left],
    }
    kind = "position.closed" if status is PositionStatus.CLOSED else "position.reduced"
    return kind, row.id, row.account_id, _last(case).tick_at, json.dumps(payload)


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[str]:
    return [_array(column) for column in zip(*rows, strict=True)]


def _array(values: Iterable[Any]) -> str:
    """Write a PostgreSQL array literal of numbers and plain words: one parse instead of one expression per element."""
    return "{" + ",".join(map(str, values)) + "}"
