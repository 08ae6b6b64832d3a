"""What has happened since an instant: counts and latencies for the status screen and the closing summary of `up`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection

from apps.journal.models import Lease, Pulse
from apps.ops import invariants

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
# Only exits a price triggered have a latency; a time stop and a person's wish have no tick.
_LATENCY = """
SELECT percentile_disc(%s::float8[]) WITHIN GROUP (
    ORDER BY extract(epoch FROM coalesce(d.committed_at, e.closed_at) - e.tick_at) * 1000)
FROM trading_exit e LEFT JOIN trading_drain d ON d.id = e.drain_id
WHERE e.status = 'done' AND e.trigger_price IS NOT NULL AND e.closed_at >= %s
"""
_COUNTS = """
SELECT (SELECT count(*) FROM trading_position WHERE opened_at >= %(since)s),
    (SELECT count(*) FROM trading_position WHERE closed_at >= %(since)s),
    (SELECT count(*) FROM trading_position WHERE status <> 'closed'),
    (SELECT count(*) FROM trading_exit WHERE status = 'triggered')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Counts since an instant; latencies in milliseconds, None before the first exit."""

    opened: int
    closes: int
    open_now: int
    waiting: int
    ticks: int
    ticks_per_second: float
    feed: str
    leader: str
    tick_to_close_ms: Mapping[str, float | None] = field(default_factory=dict)


def since(at: datetime) -> Tally:
    """Count what has happened since `at`."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, {"since": at})
        opened, closes, open_now, waiting = cursor.fetchone()
    listeners = list(Pulse.objects.filter(name__startswith="listener:", beat_at__gte=at))
    leaders = [pulse.facts for pulse in listeners if pulse.facts.get("leads")]
    return Tally(
        opened=opened,
        closes=closes,
        open_now=open_now,
        waiting=waiting,
        ticks=_ticks(listeners),
        ticks_per_second=sum(facts.get("ticks_per_second", 0) for facts in leaders),
        feed=", ".join(sorted({str(facts.get("feed")) for facts in leaders})) or "none",
        leader=", ".join(sorted(Lease.objects.filter(name__startswith="listener:").values_list("holder", flat=True))),
        tick_to_close_ms=latency(at),
    )


def latency(at: datetime) -> dict[str, float | None]:
    """Return percentiles of the time from a tick's arrival to the commit of the close, in milliseconds."""
    with connection.cursor() as cursor:
        cursor.execute(_LATENCY, [list(PERCENTILES.values()), at])
        values = cursor.fetchone()[0] or [None] * len(PERCENTILES)
    pairs = zip(PERCENTILES, values, strict=True)
    return {name: None if value is None else round(float(value), 2) for name, value in pairs}


def broken() -> dict[str, int]:
    """Return how often each invariant is broken, by its number."""
    return {finding.id: finding.violations for finding in invariants.check(examples=0)}


def missed(counts: Mapping[str, int]) -> int:
    """Return how many stops were missed, or stuck on their way."""
    return sum(counts.get(key, 0) for key in ("I2", "I2t", "I7"))


def doubled(counts: Mapping[str, int]) -> int:
    """Return how many closes happened twice or the wrong way."""
    return sum(counts.get(key, 0) for key in ("I1", "I8", "I11"))


def _ticks(listeners: list[Pulse]) -> int:
    """Add up what the listeners of each shard have seen; a standby sees the same ticks, so the most counts."""
    best: dict[str, int] = {}
    for pulse in listeners:
        facts: Mapping[str, Any] = pulse.facts
        best[pulse.name] = max(best.get(pulse.name, 0), int(facts.get("ticks", 0)))
    return sum(best.values())
