"""Many positions on one tick: the batched services, a per-row ORM loop, one bare statement, and the whole chain."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from benchmarks import chain, crossing, filling, stage
from benchmarks.figures import Goal, Table, median

_BARE = """
WITH left_now AS (
    SELECT p.id FROM trading_position p WHERE p.id IN (SELECT position_id FROM trading_exit WHERE status = 'triggered')
    ORDER BY p.id FOR UPDATE
), closed AS (
    UPDATE trading_position p SET status = 'closed', remaining = 0, cost = 0, exit_notional = 989.99,
        realised_pnl = -10.01, closed_at = clock_timestamp() FROM left_now WHERE p.id = left_now.id
    RETURNING p.id, p.account_id, p.instrument_id
)
INSERT INTO trading_fill (account_id, instrument_id, position_id, client_id, buy, quantity, price, fee, at)
SELECT account_id, instrument_id, id, 'bare' || id, false, 1, 989.99, 0.98999, clock_timestamp() FROM closed
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many positions one tick triggers, how often it is repeated, and how many the ORM loop is given."""

    bursts: tuple[int, ...]
    rounds: int
    by_rows: int


QUICK = Size(bursts=(200,), rounds=1, by_rows=50)
FULL = Size(bursts=(1_000, 10_000), rounds=3, by_rows=500)


def run(size: Size, folder: Path) -> Table:
    """Measure every way for every burst, in turns."""
    table = Table(
        title="One tick triggers many positions, all committed with exits, fills, ledger lines and events",
        columns=(
            "positions",
            "ms (chain)",
            "exits/s (services)",
            "with recording",
            "exits/s (ORM)",
            "exits/s (bare SQL)",
            "services / ORM",
            "services / bare",
        ),
    )
    for burst in size.bursts:
        _site(burst * size.rounds * 2 + size.by_rows * size.rounds)
        rounds = [_round(burst, size, legs) for legs in _thirds(burst, size)]
        ours, written, rows, bare = (median(column) for column in zip(*rounds, strict=True))
        table.rows.append((burst, _chain(burst, size, folder), ours, written, rows, bare, ours / rows, ours / bare))
        table.goals.append(Goal(text=f"{burst:,} positions, services / ORM loop", value=ours / rows, limit=5.0))
    table.notes.append(
        "chain: from the tick's arrival to the last commit, listener, Celery and two worker processes included"
    )
    table.notes.append(
        "services: executing exits that are written already, one process; with recording: writing them included"
    )
    table.notes.append(
        "ORM loop: per row lock, save position and exit, create fill, ledger line and event, one transaction each"
    )
    table.notes.append(
        "bare SQL: one statement that closes positions and writes fills, and nothing else of the product's"
    )
    return table


def _site(positions: int) -> None:
    account = filling.site(10)
    filling.positions(account, positions, instruments=10, stop=filling.ONE_STOP, target=filling.FAR_TARGET)
    filling.books()


def _thirds(burst: int, size: Size) -> Iterator[tuple[list[int], list[int], list[int]]]:
    """Yield, for every round, the stops for the services, for the ORM loop and for the bare statement."""
    legs = crossing.stops()
    for _ in range(size.rounds):
        parts = legs[:burst], legs[burst : burst + size.by_rows], legs[burst + size.by_rows :][:burst]
        legs = legs[2 * burst + size.by_rows :]
        yield parts


def _round(burst: int, size: Size, legs: tuple[list[int], list[int], list[int]]) -> tuple[float, float, float, float]:
    lead = crossing.fence() if not stage.rows("SELECT 1 FROM journal_lease") else _lead()
    began = time.perf_counter()
    crossing.write(legs[0], lead)
    recorded = time.perf_counter()
    if crossing.drain() != burst:
        raise RuntimeError("not every exit was executed")
    ended = time.perf_counter()
    crossing.write(legs[1], lead)
    by_rows = _timed(_by_rows)
    crossing.write(legs[2], lead)
    bare = _timed(lambda: stage.rows(_BARE))
    stage.rows("UPDATE trading_exit SET status = 'superseded' WHERE status = 'triggered'")
    return burst / (ended - recorded), burst / (ended - began), size.by_rows / by_rows, burst / bare


def _lead() -> object:
    from apps.trading.services.exits import Fence

    return Fence("listener:0", 1)


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _by_rows() -> None:
    """Close position by position, as one would write it first."""
    from apps.trading.models import Exit

    for exit_id in list(Exit.objects.filter(status="triggered").values_list("pk", flat=True)):
        _one_row(exit_id)


def _one_row(exit_id: int) -> None:
    from django.db import transaction

    from apps.journal.models import Event
    from apps.trading.models import Exit, Fill, LedgerEntry, Position

    with transaction.atomic():
        now, price, fee = datetime.now(UTC), Decimal("989.99"), Decimal("0.98999")
        exit_ = Exit.objects.get(pk=exit_id)
        position = Position.objects.select_for_update().get(pk=exit_.position_id)
        position.status, position.closed_at, position.last_exit_id = "closed", now, exit_id
        position.realised_pnl, position.exit_notional = price - position.cost, price
        position.remaining = position.cost = Decimal(0)
        position.save()
        exit_.status, exit_.closed_at, exit_.quantity, exit_.fill_price = "done", now, Decimal(1), price
        exit_.save()
        fill = Fill.objects.create(
            account_id=position.account_id,
            instrument_id=position.instrument_id,
            position=position,
            exit=exit_,
            client_id=f"x{exit_id}-1",
            buy=False,
            quantity=Decimal(1),
            price=price,
            fee=fee,
            at=now,
        )
        LedgerEntry.objects.create(
            account_id=position.account_id,
            currency="USD",
            fill=fill,
            kind="close",
            cash=price - fee,
            holdings=-Decimal(1000),
            fees=fee,
            pnl=1000 - price,
            at=now,
        )
        Event.objects.create(
            kind="position.closed",
            subject=f"position:{position.pk}",
            account_id=position.account_id,
            payload={"position": position.pk, "exit_price": "989.99"},
        )


def _chain(burst: int, size: Size, folder: Path) -> float:
    """Return the median milliseconds from a tick's arrival to the last commit through real processes."""
    account = filling.site(size.rounds)
    filling.positions(
        account, burst * size.rounds, instruments=size.rounds, stop=filling.ONE_STOP, target=filling.FAR_TARGET
    )
    filling.books()
    statement = """
        SELECT extract(epoch FROM max(d.committed_at) - min(e.tick_at))::float8 * 1e3, count(*)
        FROM trading_exit e JOIN trading_drain d ON d.id = e.drain_id JOIN trading_position p ON p.id = e.position_id
        WHERE p.instrument_id = %s
    """
    found = []
    with chain.running(folder, range(1, size.rounds + 1)) as source:
        for number in range(1, size.rounds + 1):
            source.play([(filling.symbol(number), crossing.PRICE)], 100)
            chain.crossed(burst * number, 60)
            ((took, count),) = stage.rows(statement, [number])
            if count != burst:
                raise RuntimeError(f"{count} of {burst} exits")
            found.append(float(took))
    return median(found)
