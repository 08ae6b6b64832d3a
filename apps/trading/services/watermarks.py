"""Writing the best prices that trailing and break-even legs have seen: in batches, never per tick."""

from collections.abc import Mapping

from django.db import connection

_PEAKS = """
UPDATE trading_watermark w SET peak = v.peak, rides = NULL, moved_at = clock_timestamp()
FROM unnest(%s::bigint[], %s::numeric[]) AS v(leg_id, peak)
WHERE w.leg_id = v.leg_id AND (%s::smallint IS NULL OR EXISTS (
    SELECT 1 FROM trading_exitleg l JOIN market_instrument i ON i.id = l.instrument_id
    WHERE l.id = v.leg_id AND i.shard = %s))
"""
_RIDES = """
UPDATE trading_watermark w SET rides = v.rides
FROM unnest(%s::bigint[], %s::bigint[]) AS v(leg_id, rides)
WHERE w.leg_id = v.leg_id AND (%s::smallint IS NULL OR EXISTS (
    SELECT 1 FROM trading_exitleg l JOIN market_instrument i ON i.id = l.instrument_id
    WHERE l.id = v.leg_id AND i.shard = %s))
"""


def write(peaks: Mapping[int, float], rides: Mapping[int, int], *, shard: int | None = None) -> None:
    """Write peaks by root leg, and which former root rides which leg from now on.

    A float's shortest form is the exact price, because prices carry at most 15 digits. With a shard, legs of
    instruments that are on another one by now are left to its listener.
    """
    with connection.cursor() as cursor:
        if rides:
            cursor.execute(_RIDES, [list(rides), list(rides.values()), shard, shard])
        if peaks:
            cursor.execute(_PEAKS, [list(peaks), [repr(peak) for peak in peaks.values()], shard, shard])
