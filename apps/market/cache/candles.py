"""Windows of candles up to this moment: stored ones, put together from finer ones where needed, the last from ticks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from apps.market import selectors
from apps.market.cache.tiers import Wanted, tiers
from apps.market.store import Store, Timeframe, buckets
from apps.market.store import candles as store_candles
from apps.market.store.timeframes import ceiling, floor

MINUTE = Timeframe.MINUTE
# What no roll-up has made yet is put together on the spot, from at most 44,640 one-minute candles.
REACH = timedelta(days=31)
TICKS_REACH = timedelta(minutes=10)  # the same from ticks; the roll-up to minutes runs far more often


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    """One candle with exact numbers; `closed` is False while its time is not over."""

    at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trades: int
    closed: bool


def tag(instrument_id: int) -> str:
    """Return the tag of all windows of an instrument."""
    return f"candles:{instrument_id}"


def candles(
    instrument_id: int,
    timeframe: Timeframe,
    *,
    limit: int,
    since: datetime | None = None,
    until: datetime | None = None,
    now: datetime,
) -> Sequence[Candle]:
    """Return the newest `limit` candles that start in [since, until), oldest first. Raises StoreUnavailable."""
    key = f"candles:{instrument_id}:{timeframe}:{limit}:{_stamp(since)}:{_stamp(until)}"
    wanted: Wanted[tuple[Candle, ...]] = Wanted(
        key=key,
        tags=(tag(instrument_id),),
        memory=0.5,
        shared=2.0,
        load=partial(_load, instrument_id, timeframe, limit, since, until, now),
        to_json=_to_json,
        from_json=_from_json,
    )
    found: Sequence[Candle] = tiers().get(wanted)
    return found


def _load(
    instrument_id: int,
    timeframe: Timeframe,
    limit: int,
    since: datetime | None,
    until: datetime | None,
    now: datetime,
) -> tuple[Candle, ...]:
    store = selectors.market_store()
    width = timeframe.width
    end = min(until, now) if until else now
    stored = store_candles.rows(store, instrument_id, timeframe, limit=limit, since=since, until=until)
    found = [_candle(row[1:], now - width) for row in stored]
    start = max(
        ceiling(since, width) if since else floor(end - limit * width, width),
        found[-1].at + width if found else floor(now - REACH, width),
        floor(now - REACH, width),
    )
    if start < end:
        found += _made(store, instrument_id, timeframe, start, end, now)
    return tuple(found[-limit:])


def _made(
    store: Store, instrument_id: int, timeframe: Timeframe, since: datetime, until: datetime, now: datetime
) -> list[Candle]:
    """Put candles together from one-minute ones, and from ticks where there are none of those yet."""
    width = timeframe.width
    if width <= MINUTE.width:
        from_ticks = max(since, floor(now - TICKS_REACH, width))
        return _ask(store, buckets.of_ticks([instrument_id], width, from_ticks, until), now - width)
    minutes = store_candles.rows(store, instrument_id, MINUTE, limit=1, since=since, until=until)
    from_ticks = max(since, floor(now - TICKS_REACH, MINUTE.width), *(row.at + MINUTE.width for row in minutes))
    coarse = _ask(store, buckets.of_candles([instrument_id], MINUTE, width, since, until), now - width)
    fresh = _ask(store, buckets.of_ticks([instrument_id], MINUTE.width, from_ticks, until), now)
    return _folded([*coarse, *fresh], width, now)


def _ask(store: Store, query: Any, closed_until: datetime) -> list[Candle]:
    with store.transaction() as connection:
        return [_candle(row[1:], closed_until) for row in connection.execute(query)]


def _folded(rows: Iterable[Candle], width: timedelta, now: datetime) -> list[Candle]:
    """Join candles in order of time that fall into one bucket; the number of trades is 0 where one is not known."""
    folded: dict[datetime, Candle] = {}
    for row in rows:
        at = floor(row.at, width)
        held = folded.get(at)
        folded[at] = replace(row, at=at, closed=at + width <= now) if held is None else _joined(held, row)
    return list(folded.values())


def _joined(first: Candle, then: Candle) -> Candle:
    return replace(
        first,
        high=max(first.high, then.high),
        low=min(first.low, then.low),
        close=then.close,
        volume=first.volume + then.volume,
        trades=first.trades + then.trades if first.trades and then.trades else 0,
    )


def _candle(row: Sequence[Any], closed_until: datetime) -> Candle:
    at, opened, high, low, close, volume, trades = row
    return Candle(
        at=at,
        open=Decimal(opened),
        high=Decimal(high),
        low=Decimal(low),
        close=Decimal(close),
        volume=Decimal(volume),
        trades=int(trades),
        closed=at <= closed_until,
    )


def _stamp(at: datetime | None) -> str:
    return "" if at is None else str(at.timestamp())


def _to_json(rows: Sequence[Candle]) -> list[list[Any]]:
    return [
        [r.at.isoformat(), *(str(n) for n in (r.open, r.high, r.low, r.close, r.volume)), r.trades, r.closed]
        for r in rows
    ]


def _from_json(rows: Sequence[Sequence[Any]]) -> tuple[Candle, ...]:
    return tuple(
        replace(_candle([datetime.fromisoformat(row[0]), *row[1:7]], datetime.fromisoformat(row[0])), closed=row[7])
        for row in rows
    )
