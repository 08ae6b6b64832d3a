"""How long did exits take, from the price that triggered them to the commit of the close?"""

from dataclasses import dataclass
from decimal import Decimal

from apps.trading.statistics.selection import Selection

# A time stop waits for the sweeper's next look by design, so it is not in the row of all, as on the first page.
_LATENCY = """
WITH exits AS MATERIALIZED (
    SELECT e.reason, extract(epoch FROM coalesce(d.committed_at, e.closed_at) - e.tick_at) * 1000 AS ms
    FROM trading_exit e JOIN trading_position p ON p.id = e.position_id {signal}
    LEFT JOIN trading_drain d ON d.id = e.drain_id
    WHERE e.status = 'done' AND {where}
)
SELECT '', count(*), percentile_disc(ARRAY[0.5, 0.9, 0.99]) WITHIN GROUP (ORDER BY ms), max(ms)
FROM exits WHERE reason <> 'time_stop'
UNION ALL
SELECT reason, count(*), percentile_disc(ARRAY[0.5, 0.9, 0.99]) WITHIN GROUP (ORDER BY ms), max(ms)
FROM exits GROUP BY reason
ORDER BY 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds from tick to close of the exits of one reason; an empty reason is all but time stops."""

    reason: str
    exits: int
    p50: Decimal
    p90: Decimal
    p99: Decimal
    slowest: Decimal


def of(selection: Selection) -> list[Latency]:
    """Return the percentiles of the exits closed in the selection, all of them first. One statement."""
    rows = selection.ask(_LATENCY.format(signal=selection.signal("p"), where=selection.where(at="e.closed_at")))
    return [
        Latency(reason=reason, exits=count, p50=parts[0], p90=parts[1], p99=parts[2], slowest=slowest)
        for reason, count, parts, slowest in rows
        if count
    ]
