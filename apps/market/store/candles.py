"""How candles come about, by roll-up or from a venue, and how a window of them is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy import (
    BigInteger,
    Double,
    Select,
    and_,
    cast,
    column,
    extract,
    literal,
    not_,
    select,
    table,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from apps.market.store import buckets, copying, partitions, schema
from apps.market.store.connection import Store
from apps.market.store.errors import RefusedRows
from apps.market.store.timeframes import EPOCH, Timeframe, ceiling, floor

SECOND = timedelta(seconds=1)
COLUMNS = ("instrument_id", "at", *schema.VALUES, "timeframe", "from_venue")

# A roll-up that started earlier must not overwrite the result of one that saw more ticks: one at a time per instrument.
TURN = text("SELECT pg_advisory_xact_lock(7170933, wanted) FROM unnest(CAST(:wanted AS integer[])) AS wanted")


class CandleRow(NamedTuple):
    """One candle of one instrument with exact numbers; texts will do on the way in."""

    instrument_id: int
    at: datetime
    open: Decimal | str
    high: Decimal | str
    low: Decimal | str
    close: Decimal | str
    volume: Decimal | str
    trades: int = 0  # 0 where the venue does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleArrays:
    """A window as arrays of one length, oldest first, for strategies; buckets without a trade are not in it."""

    at: npt.NDArray[np.int64]  # start of the bucket, seconds since the epoch
    open: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    close: npt.NDArray[np.float64]
    volume: npt.NDArray[np.float64]
    trades: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.at)


def write(store: Store, timeframe: Timeframe, rows: Sequence[CandleRow]) -> int:
    """Store closed candles as a venue tells them and return how many were new or different.

    They stand for good: a later roll-up of our own ticks leaves them alone, a later word of the venue replaces them.
    Of rows for the same bucket the last one counts. RefusedRows when a candle is impossible or not on a bucket's
    start; then none is stored.
    """
    unique = {(row.instrument_id, row.at): (*_on_the_grid(row, timeframe), timeframe.value, True) for row in rows}
    with store.transaction() as connection:
        address = copying.stage(connection, schema.CANDLES, "candles_staged")
        copying.copy(connection, address, COLUMNS, unique.values())
        staged = table(address[-1], *(column(name) for name in COLUMNS))
        query = select(*staged.c).order_by(staged.c.instrument_id, staged.c.at)
        partitions.hold(connection, partitions.CANDLES[timeframe])
        return connection.execute(_upsert(query, over_venue=True)).rowcount


def roll_up(
    store: Store,
    instrument_ids: Sequence[int],
    timeframe: Timeframe,
    since: datetime,
    until: datetime,
    *,
    source: Timeframe | None = None,
) -> int:
    """Make the candles of every bucket that touches [since, until), from ticks or from the finer candles `source`.

    Returns how many were new or different; safe to repeat and to run at once. Candles told by the venue stay as they
    are. ValueError when `source` does not divide the timeframe.
    """
    ids = sorted(set(instrument_ids))
    query = _question(ids, timeframe, since, until, source)
    extra = (literal(timeframe.value).label("timeframe"), literal(value=False).label("from_venue"))
    statement = _upsert(query.add_columns(*extra), over_venue=False)
    with store.transaction() as connection:
        partitions.hold(connection, partitions.CANDLES[timeframe])
        connection.execute(TURN, {"wanted": ids})
        return connection.execute(statement).rowcount


def window(
    store: Store,
    instrument_id: int,
    timeframe: Timeframe,
    *,
    limit: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> CandleArrays:
    """Return the newest `limit` candles of [since, until), or all of them, oldest first, as arrays.

    With `limit` and `until` it is fastest: only the partitions just before `until` are read. ValueError when neither
    `limit` nor `since` bounds the answer.
    """
    near = _near(timeframe, limit, since, until)
    if near is not None:
        found = _arrays(store, window_query(instrument_id, timeframe, limit, near, until))
        if len(found) == limit:
            return found
    return _arrays(store, window_query(instrument_id, timeframe, limit, since, until))


def rows(
    store: Store,
    instrument_id: int,
    timeframe: Timeframe,
    *,
    limit: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[CandleRow]:
    """Return the same as `window` with exact numbers."""
    near = _near(timeframe, limit, since, until)
    if near is not None:
        found = _rows(store, window_query(instrument_id, timeframe, limit, near, until))
        if len(found) == limit:
            return found
    return _rows(store, window_query(instrument_id, timeframe, limit, since, until))


def from_ticks_window(
    store: Store, instrument_id: int, width: timedelta, *, buckets_back: int, until: datetime
) -> CandleArrays:
    """Return the last `buckets_back` buckets of any whole number of seconds up to `until`, straight from the ticks.

    The bucket that holds `until` is the last one and is still growing unless `until` is its end; prints at or after
    `until` are left out. ValueError for a width that is not whole seconds.
    """
    if width < SECOND or width % SECOND:
        raise ValueError(f"width of a bucket: {width}; it must be a whole number of seconds")
    since = ceiling(until, width) - buckets_back * width
    return _arrays(store, buckets.of_ticks([instrument_id], width, since, until))


def _on_the_grid(row: CandleRow, timeframe: Timeframe) -> CandleRow:
    if row.at.tzinfo is None or floor(row.at, timeframe.width) != row.at:
        field = f"candle of instrument {row.instrument_id}"
        raise RefusedRows(
            f"a candle's time starts a {timeframe} bucket and has an offset", field=field, value=str(row.at)
        )
    return row


def _question(
    ids: Sequence[int], timeframe: Timeframe, since: datetime, until: datetime, source: Timeframe | None
) -> Select[*tuple[Any, ...]]:
    width = timeframe.width
    since, until = floor(since, width), ceiling(until, width)
    if source is None:
        return buckets.of_ticks(ids, width, since, until)
    if source.width >= width or width % source.width:
        raise ValueError(f"roll-up to {timeframe} from {source}: the source must divide the candle")
    return buckets.of_candles(ids, source, width, since, until)


def _upsert(query: Select[*tuple[Any, ...]], *, over_venue: bool) -> Insert:
    statement = insert(schema.CANDLES).from_select([col.name for col in query.selected_columns], query)
    told = [*schema.VALUES, "from_venue"]
    kept, new = schema.CANDLES.c, statement.excluded
    # An unchanged row is not written again: rolling up the same minute every second leaves nothing to vacuum.
    differs = tuple_(*(kept[name] for name in told)).is_distinct_from(tuple_(*(new[name] for name in told)))
    return statement.on_conflict_do_update(
        index_elements=[kept.instrument_id, kept.timeframe, kept.at],
        set_={name: new[name] for name in told},
        where=differs if over_venue else and_(differs, not_(kept.from_venue)),
    )


def window_query(
    instrument_id: int, timeframe: Timeframe, limit: int | None, since: datetime | None, until: datetime | None
) -> Select[*tuple[Any, ...]]:
    """Ask for the newest `limit` candles of [since, until), newest first; ValueError without `limit` and `since`."""
    if limit is None and since is None:
        raise ValueError("a window of candles needs a limit or a since")
    candles = schema.CANDLES.c
    query = select(*(candles[name] for name in CandleRow._fields)).where(
        candles.instrument_id == instrument_id, candles.timeframe == timeframe.value
    )
    if since is not None:
        query = query.where(candles.at >= since)
    if until is not None:
        query = query.where(candles.at < until)
    return query.order_by(candles.at.desc()).limit(limit)


def _near(timeframe: Timeframe, limit: int | None, since: datetime | None, until: datetime | None) -> datetime | None:
    """Return from when on so many candles most likely are, None where no guess narrows the question.

    Without it every month would be opened for its newest candle, only to find that it is older than the window.
    """
    if limit is None or until is None or 2 * limit > (until - EPOCH) // timeframe.width:
        return None
    guess = until - 2 * limit * timeframe.width
    return guess if since is None or since < guess else None


def _rows(store: Store, newest_first: Select[*tuple[Any, ...]]) -> list[CandleRow]:
    with store.transaction() as connection:
        return [CandleRow._make(row) for row in connection.execute(newest_first)][::-1]


def _arrays(store: Store, query: Select[*tuple[Any, ...]]) -> CandleArrays:
    exact = query.subquery("exact").c
    floats = (cast(exact[name], Double) for name in ("open", "high", "low", "close", "volume"))
    epoch = cast(extract("epoch", exact.at), BigInteger)
    with store.transaction() as connection:
        found = connection.execute(select(epoch, *floats, exact.trades).order_by(exact.at)).all()
    at, opened, high, low, close, volume, trades = zip(*found, strict=True) if found else ((),) * 7
    return CandleArrays(
        at=np.array(at, np.int64),
        open=np.array(opened, np.float64),
        high=np.array(high, np.float64),
        low=np.array(low, np.float64),
        close=np.array(close, np.float64),
        volume=np.array(volume, np.float64),
        trades=np.array(trades, np.int64),
    )
