"""Writing the latest quotes, conflated, a few times a second."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from django.db import connection


class QuoteRow(NamedTuple):
    """One instrument's latest price as the leading listener knows it; prices as the venue sent them."""

    instrument_id: int
    price: str
    bid: str | None
    ask: str | None
    low: float
    high: float
    trade_id: int
    at: datetime
    received_at: datetime
    heard_at: datetime
    feed: str


_WRITE = """
INSERT INTO market_quote AS q (
    instrument_id, price, bid, ask, low, high, trade_id, at, received_at, heard_at, feed, epoch)
SELECT v.*, %s FROM unnest(%s::bigint[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[],
    %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::text[]) AS v(instrument_id)
WHERE %s::smallint IS NULL OR EXISTS (SELECT 1 FROM market_instrument i WHERE i.id = v.instrument_id AND i.shard = %s)
ON CONFLICT (instrument_id) DO UPDATE SET price = excluded.price, bid = excluded.bid, ask = excluded.ask,
    low = excluded.low, high = excluded.high, trade_id = excluded.trade_id, at = excluded.at,
    received_at = excluded.received_at, heard_at = greatest(q.heard_at, excluded.heard_at), feed = excluded.feed,
    epoch = excluded.epoch
"""
_HEARD = """
UPDATE market_quote q SET heard_at = greatest(q.heard_at, v.heard_at)
FROM unnest(%s::bigint[], %s::timestamptz[]) AS v(instrument_id, heard_at) WHERE q.instrument_id = v.instrument_id
    AND (%s::smallint IS NULL OR EXISTS (
        SELECT 1 FROM market_instrument i WHERE i.id = v.instrument_id AND i.shard = %s))
"""


def write(rows: Iterable[QuoteRow], *, epoch: int, shard: int | None = None) -> None:
    """Write the latest quotes with one statement; the caller has checked its epoch in this transaction.

    With a shard, those of instruments that are on another one by now are left out.
    """
    columns = [list(column) for column in zip(*rows, strict=True)]
    if columns:
        with connection.cursor() as cursor:
            cursor.execute(_WRITE, [epoch, *columns, shard, shard])


def heard(instruments: dict[int, datetime], *, shard: int | None = None) -> None:
    """Note when the feed last said anything about instruments whose price did not change.

    With a shard, those that are on another one by now are left out.
    """
    if instruments:
        with connection.cursor() as cursor:
            cursor.execute(_HEARD, [list(instruments), list(instruments.values()), shard, shard])
