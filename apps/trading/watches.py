"""What the listeners must watch: the live legs, all of them at a start and the changed ones ever after."""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from django.db import connection, transaction

from apps.domain.book import Watch
from apps.domain.legs import LegKind
from apps.trading.statements import Statement, array

# A side needs no look at the position: a long's target rises, as does a short's stop.
_LIVE = """
SELECT l.id, l.instrument_id, l.kind, (l.kind = 'take_profit') = l.rises, l.level::float8, l.activation::float8,
    l.trail::float8, l.trail_is_rate
FROM trading_exitleg l JOIN market_instrument i ON i.id = l.instrument_id AND i.shard = %s
WHERE l.status = 'live' AND (l.kind IN ('trailing_stop', 'break_even') OR l.activation IS NOT NULL)
    AND l.kind <> 'time_stop'
    AND NOT EXISTS (SELECT 1 FROM trading_exit e WHERE e.leg_id = l.id AND e.status IN ('triggered', 'claimed'))
"""
_RESTING = """
SELECT l.instrument_id, l.rises, array_to_json(array_agg(l.id))::text, array_to_json(array_agg(l.level::float8))::text
FROM trading_exitleg l JOIN market_instrument i ON i.id = l.instrument_id AND i.shard = %s
WHERE l.status = 'live' AND l.kind IN ('stop_loss', 'take_profit') AND l.activation IS NULL
    AND NOT EXISTS (SELECT 1 FROM trading_exit e WHERE e.leg_id = l.id AND e.status IN ('triggered', 'claimed'))
GROUP BY l.instrument_id, l.rises
"""
_CHUNK = 20_000
_FOLLOW = """
SELECT i.id, i.symbol, i.feed, i.fallback_feed, i.fallback_symbol, coalesce(q.trade_id, 0), coalesce(q.feed, ''),
    i.jump_band::float8, coalesce((extract(epoch FROM q.heard_at) * 1000000)::bigint * 1000, 0)
FROM market_instrument i LEFT JOIN market_quote q ON q.instrument_id = i.id
WHERE i.shard = %s AND (i.enabled OR EXISTS (
    SELECT 1 FROM trading_exitleg l WHERE l.instrument_id = i.id AND l.status = 'live'))
ORDER BY i.symbol
"""
_MARKS = """
SELECT w.leg_id, w.peak::float8, w.rides FROM trading_watermark w
"""
# A number is taken when its transaction writes it and seen when that commits, at most half a minute later.
_NEWEST = """
WITH newest AS (SELECT coalesce(max(id), 0) AS id FROM trading_levelchange),
settled AS (SELECT coalesce(max(id), 0) AS id FROM trading_levelchange WHERE at < now() - interval '2 minutes')
SELECT newest.id, ARRAY(
    SELECT n FROM generate_series(greatest(settled.id, newest.id - 20000) + 1, newest.id) AS n
    WHERE NOT EXISTS (SELECT 1 FROM trading_levelchange c WHERE c.id = n)
) FROM newest, settled
"""
# The shard of now, not of when the change was written: the instrument may have been moved in between.
_CHANGED = """
SELECT c.id, c.position_id, i.shard FROM trading_levelchange c
JOIN trading_position p ON p.id = c.position_id JOIN market_instrument i ON i.id = p.instrument_id
WHERE c.id > %s OR c.id = ANY(%s::bigint[]) ORDER BY c.id LIMIT %s
"""
_LEGS = Statement(
    "legs_of_positions",
    """
    SELECT l.id, l.instrument_id, l.kind, p.side = 'long', l.level::float8, l.activation::float8, l.trail::float8,
        l.trail_is_rate,
        l.status = 'live' AND l.kind <> 'time_stop' AND NOT EXISTS (
            SELECT 1 FROM trading_exit e WHERE e.leg_id = l.id AND e.status IN ('triggered', 'claimed')),
        l.since, m.leg_id, m.peak::float8, m.moved_at
    FROM trading_exitleg l JOIN trading_position p ON p.id = l.position_id
    LEFT JOIN LATERAL (
        WITH RECURSIVE chain AS (
            SELECT w.leg_id, w.peak, w.rides, w.moved_at FROM trading_watermark w WHERE w.leg_id = l.id
            UNION  -- not ALL: rows that ride each other must not keep the listeners busy for ever
            SELECT w.leg_id, w.peak, w.rides, w.moved_at FROM trading_watermark w JOIN chain c ON w.leg_id = c.rides
        ) SELECT leg_id, peak, moved_at FROM chain ORDER BY rides IS NULL DESC, leg_id LIMIT 1
    ) m ON true
    WHERE l.position_id = ANY(:positions::bigint[])
    """,
)


class Followed(NamedTuple):
    """An instrument that a shard follows: its feeds, and the last trade id kept, with the feed it came from."""

    instrument_id: int
    symbol: str
    feed: str
    fallback: str
    fallback_symbol: str
    trade_id: int
    trade_feed: str
    jump_band: float  # as a rate: how wide a single step may be without confirmation
    heard_ns: int = 0  # when that feed last said anything about it, in nanoseconds since 1970; 0 for never

    def known(self, feed: str) -> int:
        """Return the last trade id kept from a feed, 0 for none."""
        return self.trade_id if feed == self.trade_feed else 0

    def heard(self, feed: str) -> int:
        """Return when a feed was last heard by whoever wrote its prices, 0 for never."""
        return self.heard_ns if feed == self.trade_feed else 0


class Changed(NamedTuple):
    """One leg of a changed position: whether it is to be watched, since when, and how."""

    instrument_id: int
    live: bool
    since: datetime
    watch: Watch


class Resting(NamedTuple):
    """The stops and targets of one instrument that trigger in one direction, as (leg, level)."""

    instrument_id: int
    rises: bool
    levels: list[tuple[int, float]]


def resting(shard: int) -> Iterator[Resting]:
    """Yield every level to watch on a shard that rests where it is; made for millions of them, so not row by row.

    Legs whose exit waits to be executed are left out: they come back by a change if it comes to nothing.
    """
    with connection.cursor() as cursor:
        cursor.execute(_RESTING, [shard])
        for instrument_id, rises, legs, levels in cursor:
            yield Resting(instrument_id, rises, list(zip(_ids(legs), _floats(levels), strict=True)))


def live(shard: int) -> Iterator[tuple[int, Watch]]:
    """Yield every leg to watch on a shard that follows the price, with its instrument's id; otherwise as `resting`."""
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(_LIVE, [shard])
        marks = _Marks()  # after the legs: a leg that is seen has its watermark, one that comes meanwhile is not seen
        while rows := cursor.fetchmany(_CHUNK):
            for id_, instrument_id, kind, is_long, level, activation, trail, is_rate in rows:
                root, peak = marks.of(id_) if kind in _MARKED else (None, None)
                sign = 1 if is_long else -1
                yield instrument_id, Watch(id_, sign, kind, level, activation, trail, is_rate, peak, root)


def instruments(shard: int) -> list[Followed]:
    """Return what a shard follows: what is enabled, and what still has exits."""
    with connection.cursor() as cursor:
        cursor.execute(_FOLLOW, [shard])
        return [Followed._make(row) for row in cursor]


def newest_change() -> tuple[int, list[int]]:
    """Return the number of the newest change, and the lower ones that may still become visible.

    Take it before reading the live legs, so that nothing falls between.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST)
        newest, missing = cursor.fetchone()
        return int(newest), list(missing)


def changed(after: int, also: Sequence[int], limit: int) -> list[tuple[int, int, int]]:
    """Return (number, position id, shard) of the changes after a number, and of earlier numbers that were missing."""
    with connection.cursor() as cursor:
        cursor.execute(_CHANGED, [after, list(also), limit])
        return list(cursor)


def positions_of(leg_ids: Collection[int]) -> set[int]:
    """Return the positions that legs belong to."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT position_id FROM trading_exitleg WHERE id = ANY(%s::bigint[])", [list(leg_ids)])
        return {position_id for (position_id,) in cursor}


def legs_of(position_ids: Sequence[int]) -> list[Changed]:
    """Return every leg of these positions as it is now."""
    rows = _LEGS.run(positions=array(position_ids))
    found = []
    for id_, instrument_id, kind, is_long, level, activation, trail, is_rate, is_live, since, root, peak, moved in rows:
        watch = Watch(id_, 1 if is_long else -1, kind, level, activation, trail, is_rate, peak, root)
        # A stored best price contains what came before it was written; a dip before it must not be held against it.
        found.append(Changed(instrument_id, is_live, max(since, moved or since).astimezone(UTC), watch))
    return found


_ids = msgspec.json.Decoder(list[int]).decode
_floats = msgspec.json.Decoder(list[float]).decode
_MARKED = (LegKind.TRAILING_STOP, LegKind.BREAK_EVEN)


class _Marks:
    """Finds the root and peak of a leg by following whom it rides with."""

    def __init__(self) -> None:
        self._peaks: dict[int, float | None] = {}
        self._rides: dict[int, int] = {}
        with connection.cursor() as cursor:
            cursor.execute(_MARKS)
            for leg_id, peak, rides in cursor:
                self._peaks[leg_id] = peak
                if rides is not None:
                    self._rides[leg_id] = rides

    def of(self, leg_id: int) -> tuple[int, float | None]:
        root, path = leg_id, dict[int, None]()  # a dict as an ordered set
        while root in self._rides and root not in path:  # the second: rows that ride each other must not hang a start
            path[root] = None
            root = self._rides[root]
        for node in path:
            if node != root:
                self._rides[node] = root
        return root, self._peaks.get(root)
