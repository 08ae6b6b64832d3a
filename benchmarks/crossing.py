"""Exits as the listener writes them, without a listener: for measuring what comes after."""

from collections.abc import Sequence
from datetime import UTC, datetime

from benchmarks import stage

PRICE = "989.99"


def fence() -> object:
    """Lead the shard, and return what to write under."""
    from apps.trading.services.exits import Fence

    stage.rows("INSERT INTO journal_lease (name, epoch, holder, backend_pid) VALUES ('listener:0', 1, 'bench', 0)")
    return Fence("listener:0", 1)


def stops() -> list[int]:
    """Return the stops of all positions in order."""
    return [leg for (leg,) in stage.rows("SELECT id FROM trading_exitleg WHERE kind = 'stop_loss' ORDER BY id")]


def write(legs: Sequence[int], lead: object) -> None:
    """Write the exits of these stops, as one tick would."""
    from apps.trading.services import exits

    now = datetime.now(UTC)
    seen = [exits.Crossing(leg, PRICE, None, 1, now.isoformat(), now, now, now) for leg in legs]
    written = exits.record_crossings(seen, fence=lead, source="listener")
    if len(written) != len(legs):
        raise RuntimeError(f"{len(written)} exits of {len(legs)} were written")


def drain(limit: int | None = None) -> int:
    """Execute everything that waits; return how many exits that was."""
    from django.conf import settings

    from apps.trading.services import exits

    done = 0
    while (drained := exits.drain(worker="bench", limit=limit or settings.EXIT_BATCH)).more:
        done += drained.done
    return done + drained.done
