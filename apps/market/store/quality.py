"""What of the stored prices is missing, doubled or odd: questions to the tables, answered without moving the rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import TextClause, text

from apps.domain.spans import Span
from apps.market.store.connection import Store
from apps.market.store.timeframes import Timeframe

BREAK = timedelta(seconds=5)  # ids that fall while time goes on: the venue began to count anew
STRAGGLER = timedelta(minutes=10)  # how far a trade's time may be from that of its neighbours by number

HOLES = text("""
SELECT before_at + :width AS since, at AS until FROM (
    SELECT at, lag(at, 1, CAST(:since AS timestamptz) - :width) OVER (ORDER BY at) AS before_at FROM (
        SELECT at FROM market.candles
        WHERE instrument_id = :one AND timeframe = :timeframe AND at >= :since AND at < :until
        UNION ALL SELECT CAST(:until AS timestamptz)) AS seen) AS pairs
WHERE at > before_at + :width ORDER BY 1
""")
BOUNDS = text("""
SELECT (SELECT min(at) FROM market.candles WHERE instrument_id = :one AND timeframe = :timeframe) AS candle,
    (SELECT min(at) FROM market.ticks WHERE instrument_id = :one) AS tick
""")
PER_DAY = text("""
SELECT instrument_id, CAST(at AS date) AS day, count(*) FROM market.candles
WHERE instrument_id = ANY(:ids) AND timeframe = :timeframe AND at >= :since AND at < :until GROUP BY 1, 2
""")
MISSING_IDS = text("""
WITH timed AS (
    SELECT trade_id, at, trade_id < lag(trade_id) OVER by_time AND at > lag(at) OVER by_time + :pause AS anew
    FROM market.ticks WHERE instrument_id = :one AND at >= :since AND at < :until AND trade_id > 0
    WINDOW by_time AS (ORDER BY at, trade_id)
), counted AS (
    SELECT trade_id, at, count(*) FILTER (WHERE anew) OVER (ORDER BY at, trade_id) AS numbering FROM timed)
SELECT before_id + 1, trade_id - 1, before_at, at FROM (
    SELECT trade_id, at, lag(trade_id) OVER by_number AS before_id, lag(at) OVER by_number AS before_at
    FROM counted WINDOW by_number AS (PARTITION BY numbering ORDER BY trade_id)) AS pairs
WHERE trade_id > before_id + 1 ORDER BY at, trade_id
""")
BREAKS = text("""
SELECT before_at, at FROM (
    SELECT trade_id, at, lag(trade_id) OVER timed AS before_id, lag(at) OVER timed AS before_at
    FROM market.ticks WHERE instrument_id = :one AND at >= :since AND at < :until AND trade_id > 0
    WINDOW timed AS (ORDER BY at, trade_id)) AS pairs
WHERE trade_id < before_id AND at > before_at + :pause ORDER BY at
""")
PRESENT = text("""
SELECT DISTINCT trade_id FROM market.ticks
WHERE instrument_id = :one AND at >= :since AND at < :until AND trade_id BETWEEN :first AND :last
""")
BEFORE = text("""
SELECT at, trade_id FROM market.ticks WHERE instrument_id = :one AND at < :at
ORDER BY at DESC, trade_id DESC LIMIT 1
""")
AFTER = text("""
SELECT at, trade_id FROM market.ticks WHERE instrument_id = :one AND at >= :at ORDER BY at, trade_id LIMIT 1
""")
DUPLICATES = text("""
SELECT count(*) FROM (
    SELECT FROM market.ticks WHERE instrument_id = :one AND at >= :since AND at < :until AND trade_id > 0
    GROUP BY trade_id HAVING count(*) > 1) AS doubled
""")
OUTLIERS = text("""
SELECT at, low, high, before, after FROM (
    SELECT at, low, high, lag(close) OVER timed AS before, lead(open) OVER timed AS after FROM market.candles
    WHERE instrument_id = :one AND timeframe = :timeframe AND at >= :since AND at < :until
    WINDOW timed AS (ORDER BY at)) AS neighbours
WHERE high > greatest(before, after) * (1 + :band) OR low < least(before, after) * (1 - :band)
ORDER BY at DESC LIMIT :most
""")


class Hole(NamedTuple):
    """Trades that are not stored: their numbers, both ends included, and the times of the trades around them."""

    first_id: int
    last_id: int
    since: datetime
    until: datetime


class Place(NamedTuple):
    """Where one stored print is: its time and the venue's number."""

    at: datetime
    trade_id: int


class Outlier(NamedTuple):
    """A candle that reaches far beyond the close before and the open after it."""

    at: datetime
    low: Decimal
    high: Decimal
    before: Decimal | None
    after: Decimal | None


def empty_buckets(
    store: Store, instrument_id: int, timeframe: Timeframe, since: datetime, until: datetime
) -> list[Span]:
    """Return the stretches of [since, until) without a stored candle, in order; both ends start a bucket."""
    if since >= until:
        return []
    values = {"timeframe": timeframe.value, "width": timeframe.width, "since": since, "until": until}
    return [Span(*row) for row in _ask(store, HOLES, one=instrument_id, **values)]


def first_price(store: Store, instrument_id: int, timeframe: Timeframe) -> datetime | None:
    """Return the time of the first stored candle or print, None when there is neither."""
    ((candle, tick),) = _ask(store, BOUNDS, one=instrument_id, timeframe=timeframe.value)
    return min((at for at in (candle, tick) if at is not None), default=None)


def candles_per_day(
    store: Store, instrument_ids: Sequence[int], timeframe: Timeframe, since: datetime, until: datetime
) -> dict[tuple[int, date], int]:
    """Count the stored candles by instrument and UTC day."""
    values = {"ids": list(instrument_ids), "timeframe": timeframe.value, "since": since, "until": until}
    return {(one, day): number for one, day, number in _ask(store, PER_DAY, **values)}


def missing_trades(store: Store, instrument_id: int, since: datetime, until: datetime) -> list[Hole]:
    """Return the numbers that are missing between the prints of [since, until), for venues that count by one."""
    span = {"one": instrument_id, "since": since, "until": until}
    return [Hole(*row) for row in _ask(store, MISSING_IDS, **span, pause=BREAK)]


def present(store: Store, instrument_id: int, hole: Hole) -> list[int]:
    """Return which of a hole's numbers are stored after all, under a time a little outside of it."""
    span = {"since": hole.since - STRAGGLER, "until": hole.until + STRAGGLER}
    rows = _ask(store, PRESENT, one=instrument_id, **span, first=hole.first_id, last=hole.last_id)
    return [trade_id for (trade_id,) in rows]


def restarts(store: Store, instrument_id: int, since: datetime, until: datetime) -> list[Span]:
    """Return the pauses after which the venue counted from a lower number: what they hide nobody can tell."""
    span = {"one": instrument_id, "since": since, "until": until}
    return [Span(*row) for row in _ask(store, BREAKS, **span, pause=BREAK)]


def last_before(store: Store, instrument_id: int, at: datetime) -> Place | None:
    """Return the last print before an instant."""
    return next((Place(*row) for row in _ask(store, BEFORE, one=instrument_id, at=at)), None)


def first_from(store: Store, instrument_id: int, at: datetime) -> Place | None:
    """Return the first print at or after an instant."""
    return next((Place(*row) for row in _ask(store, AFTER, one=instrument_id, at=at)), None)


def doubled_trades(store: Store, instrument_id: int, since: datetime, until: datetime) -> int:
    """Count the numbers that are stored more than once, each with a time of its own."""
    ((number,),) = _ask(store, DUPLICATES, one=instrument_id, since=since, until=until)
    return int(number)


def outliers(
    store: Store,
    instrument_id: int,
    timeframe: Timeframe,
    since: datetime,
    until: datetime,
    *,
    band: Decimal,
    most: int = 20,
) -> list[Outlier]:
    """Return the newest candles that reach further than the rate `band` beyond both of their neighbours."""
    values = {"timeframe": timeframe.value, "since": since, "until": until, "band": band, "most": most}
    return [Outlier(*row) for row in _ask(store, OUTLIERS, one=instrument_id, **values)]


def _ask(store: Store, question: TextClause, **values: Any) -> Sequence[Any]:
    with store.transaction() as connection:
        return connection.execute(question, values).all()
