"""Writing a batch of executed exits: positions, legs, exits, fills, ledger, events in one set-based statement."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from apps.domain import numbers
from apps.domain.settlement import Due, Holding, Left, Superseded
from apps.domain.states import ExitStatus, PositionStatus
from apps.trading.locks import Locked
from apps.trading.statements import Statement, array, texts


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
    answers: list[Left | Superseded]
    left: list[Left] = field(init=False)  # the exits that were executed, in order

    def __post_init__(self) -> None:
        self.left = [answer for answer in self.answers if isinstance(answer, Left)]


_WRITE = Statement(
    "write_exits",
    """
    WITH drain AS (
        INSERT INTO trading_drain (worker, claimed_at) VALUES (:worker::text, :claimed_at::timestamptz) RETURNING id
    ), positions AS (
        UPDATE trading_position p SET remaining = v.remaining, cost = v.cost, exit_notional = v.notional,
            fees = v.fees, realised_pnl = v.pnl, status = v.status, exit_reason = v.reason,
            last_exit_id = v.last_exit, version = p.version + 1,
            closed_at = CASE WHEN v.status = 'closed' THEN clock_timestamp() END
        FROM unnest(:p_id::bigint[], :p_remaining::numeric[], :p_cost::numeric[], :p_notional::numeric[],
            :p_fees::numeric[], :p_pnl::numeric[], :p_status::text[], :p_reason::text[], :p_last_exit::bigint[])
            AS v(id, remaining, cost, notional, fees, pnl, status, reason, last_exit)
        WHERE p.id = v.id
        RETURNING p.id, p.closed_at
    ), legs_done AS (
        UPDATE trading_exitleg l SET status = 'done' FROM unnest(:legs::bigint[]) AS v(id) WHERE l.id = v.id
    ), legs_cancelled AS (
        UPDATE trading_exitleg l SET status = 'cancelled' FROM unnest(:closed::bigint[]) AS v(position_id)
        WHERE l.position_id = v.position_id AND l.status = 'live'
            AND NOT EXISTS (SELECT FROM unnest(:legs) AS done(id) WHERE done.id = l.id)
    ), exits AS (
        UPDATE trading_exit e SET status = v.status, drain_id = drain.id, closed_at = clock_timestamp(),
            quantity = v.quantity, fill_price = v.price, fee = v.fee, pnl = v.pnl, late = v.late,
            note = coalesce(v.note, e.note)
        FROM drain, unnest(:e_id::bigint[], :e_status::text[], :e_quantity::numeric[], :e_price::numeric[],
            :e_fee::numeric[], :e_pnl::numeric[], :e_late::bool[], :e_note::text[])
            AS v(id, status, quantity, price, fee, pnl, late, note)
        WHERE e.id = v.id
    ), lines AS (
        SELECT * FROM unnest(:f_account::bigint[], :f_instrument::bigint[], :f_position::bigint[], :f_exit::bigint[],
            :f_buy::bool[], :f_quantity::numeric[], :f_price::numeric[], :f_fee::numeric[], :f_currency::text[],
            :f_cash::numeric[], :f_holdings::numeric[], :f_pnl::numeric[])
        AS v(account_id, instrument_id, position_id, exit_id, buy, quantity, price, fee, currency, cash, holdings, pnl)
    ), fills AS (
        INSERT INTO trading_fill (account_id, instrument_id, position_id, exit_id, client_id, buy, quantity, price,
            fee, at)
        SELECT account_id, instrument_id, position_id, exit_id, 'x' || exit_id || '-1', buy, quantity, price, fee,
            clock_timestamp()
        FROM lines
        RETURNING id, exit_id, at
    ), ledger AS (
        INSERT INTO trading_ledgerentry (account_id, currency, fill_id, kind, cash, holdings, fees, pnl, capital, at)
        SELECT v.account_id, v.currency, f.id, 'close', v.cash, v.holdings, v.fee, v.pnl, 0, f.at
        FROM lines v JOIN fills f USING (exit_id)
    ), events AS (
        INSERT INTO journal_event (kind, subject, account_id, actor, payload)
        SELECT v.kind, 'position:' || v.position_id, v.account_id, '', v.payload || jsonb_build_object(
            'closed_at', p.closed_at,
            'tick_to_close_ms', round(extract(epoch FROM clock_timestamp() - v.tick_at) * 1000, 3))
        FROM unnest(:j_kind::text[], :j_position::bigint[], :j_account::bigint[], :j_tick_at::timestamptz[],
            :j_payload::jsonb[]) AS v(kind, position_id, account_id, tick_at, payload)
        JOIN positions p ON p.id = v.position_id
    ), changes AS (
        INSERT INTO trading_levelchange (position_id, shard)
        SELECT * FROM unnest(:c_position::bigint[], :c_shard::smallint[])
    )
    SELECT id FROM drain
    """,
)


def write(batch: Sequence[Case], *, worker: str) -> int:
    """Write everything a batch of settled positions changes and return the id of its drain row."""
    moved = [case for case in batch if case.left]
    left = [(case, item) for case in moved for item in case.left]
    ((drain_id,),) = _WRITE.run(
        worker=worker,
        claimed_at=batch[0].row.locked_at,
        legs=array(_legs_done(moved)),
        closed=array(case.row.id for case in moved if not case.holding.remaining),
        **_columns("p", _POSITION, map(_position, moved)),
        **_columns("e", _EXIT, (_exit(answer) for case in batch for answer in case.answers)),
        **_columns("f", _FILL, (_fill(case, item) for case, item in left)),
        **_columns("j", _EVENT, map(_event, moved)),
        **_columns("c", ("position", "shard"), ((case.row.id, case.row.shard) for case in batch)),
    )
    return int(drain_id)


def stamp_commit(drain_id: int) -> None:
    """Write down that the batch is committed by now; needs no durability of its own, so it waits for no disk."""
    with connection.cursor() as cursor:
        # Two statements in one message are one transaction.
        cursor.execute(
            "SET LOCAL synchronous_commit = off; "
            "UPDATE trading_drain SET committed_at = clock_timestamp() WHERE id = %s",
            [drain_id],
        )


_POSITION = ("id", "remaining", "cost", "notional", "fees", "pnl", "status", "reason", "last_exit")


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


_EXIT = ("id", "status", "quantity", "price", "fee", "pnl", "late", "note")


def _exit(item: Left | Superseded) -> tuple[Any, ...]:
    if isinstance(item, Superseded):
        return (item.exit_id, ExitStatus.SUPERSEDED, None, None, None, None, False, item.why)
    return (item.exit_id, ExitStatus.DONE, item.quantity, item.price, item.fee, item.pnl, item.late, None)


_FILL = (
    "account",
    "instrument",
    "position",
    "exit",
    "buy",
    "quantity",
    "price",
    "fee",
    "currency",
    "cash",
    "holdings",
    "pnl",
)


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


_EVENT = ("kind", "position", "account", "tick_at", "payload")


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


_TEXTS = {"note", "currency", "payload"}


def _columns(group: str, names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> dict[str, str]:
    """Turn rows into one array parameter per column; no rows become empty arrays."""
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return {
        f"{group}_{name}": texts(column) if name in _TEXTS else array(column)
        for name, column in zip(names, columns, strict=True)
    }
