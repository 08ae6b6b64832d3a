"""What one bucket of time amounts to: the questions that make candles of ticks, or of finer candles."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, DateTime, Numeric, Select, case, cast, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from apps.market.store import schema
from apps.market.store.timeframes import EPOCH, Timeframe

FIELDS = ("instrument_id", "at", "open", "high", "low", "close", "volume", "trades")


def of_ticks(
    instrument_ids: Sequence[int], width: timedelta, since: datetime, until: datetime
) -> Select[*tuple[Any, ...]]:
    """Ask for the `FIELDS` of the prints in [since, until), by bucket: open is the first print by (at, trade_id)."""
    ticks = schema.TICKS.c
    # One sorted array per bucket gives both ends; two opposite orders would sort everything twice.
    prices = _ordered(ticks.price, ticks.at, ticks.trade_id)
    bucket = _bucket(ticks.at, width)
    inner = select(
        ticks.instrument_id,
        bucket.label("at"),
        prices.label("opens"),
        prices.label("closes"),
        func.max(ticks.price).label("high"),
        func.min(ticks.price).label("low"),
        func.sum(ticks.size).label("volume"),
        func.count().label("trades"),
        func.count().label("rows"),
    ).where(ticks.instrument_id.in_(instrument_ids), ticks.at >= since, ticks.at < until)
    return _ends(inner.group_by(ticks.instrument_id, bucket))


def of_candles(
    instrument_ids: Sequence[int], source: Timeframe, width: timedelta, since: datetime, until: datetime
) -> Select[*tuple[Any, ...]]:
    """Ask for the same of finer candles; the number of trades is unknown (0) where one of them does not know it."""
    candles = schema.CANDLES.c
    bucket = _bucket(candles.at, width)
    trades = case((func.min(candles.trades) == 0, 0), else_=cast(func.sum(candles.trades), BigInteger))
    inner = select(
        candles.instrument_id,
        bucket.label("at"),
        _ordered(candles.open, candles.at).label("opens"),
        _ordered(candles.close, candles.at).label("closes"),
        func.max(candles.high).label("high"),
        func.min(candles.low).label("low"),
        func.sum(candles.volume).label("volume"),
        trades.label("trades"),
        func.count().label("rows"),
    ).where(
        candles.instrument_id.in_(instrument_ids),
        candles.timeframe == source.value,
        candles.at >= since,
        candles.at < until,
    )
    return _ends(inner.group_by(candles.instrument_id, bucket))


def _bucket(at: ColumnElement[datetime], width: timedelta) -> ColumnElement[datetime]:
    return func.date_bin(width, at, literal(EPOCH, DateTime(timezone=True)), type_=DateTime(timezone=True))


def _ordered(value: ColumnElement[Any], *order: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.array_agg(aggregate_order_by(value, *order), type_=ARRAY(Numeric))


def _ends(inner: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    # The order is that of every writer of candles, so that two of them cannot hold each other's rows.
    bucket = inner.subquery("bucket").c
    return select(
        bucket.instrument_id,
        bucket.at,
        bucket.opens[1].label("open"),
        bucket.high,
        bucket.low,
        bucket.closes[bucket.rows].label("close"),
        bucket.volume,
        bucket.trades,
    ).order_by(bucket.instrument_id, bucket.at)
