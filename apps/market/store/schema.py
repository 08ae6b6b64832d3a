"""Which tables the store has, and what they refuse.

Prices have no forced scale: what a venue writes is what comes back. `BOUND` keeps NaN and Infinity out (PostgreSQL
sorts both above every number); with `SCALE` it also keeps out numbers that no market prints, such as 1e400 or 1e-400,
which a float would turn into infinity or zero.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    false,
)

NAME = "market"
BOUND = "1e24"
SCALE = 60

METADATA = MetaData(schema=NAME)


def _sane(column: str) -> str:
    return f"{column} < {BOUND} AND scale({column}) <= {SCALE}"


def _positive(name: str, column: str) -> CheckConstraint:
    return CheckConstraint(f"{column} > 0 AND {_sane(column)}", name=name)


def _not_negative(name: str, column: str) -> CheckConstraint:
    return CheckConstraint(f"{column} >= 0 AND {_sane(column)}", name=name)


# Fixed-width columns come first and widest first: no byte of a row is padding.
# The key starts with the instrument because every question does; the same index makes a trade unique.
TICKS = Table(
    "ticks",
    METADATA,
    Column("at", DateTime(timezone=True), nullable=False, comment="the trade's own time at the venue"),
    Column("received_at", DateTime(timezone=True), nullable=False, comment="when the frame arrived here"),
    Column("trade_id", BigInteger, nullable=False, comment="the venue's number; negative: derived from the print"),
    Column("instrument_id", Integer, nullable=False),
    Column("refilled", Boolean, nullable=False, server_default=false()),
    Column("price", Numeric, nullable=False),
    Column("size", Numeric, nullable=False, comment="base units; 0 where the venue gives none"),
    Column("side", Text, nullable=False, comment="the taker's side; empty where unknown"),
    Column("bid", Numeric),
    Column("ask", Numeric),
    PrimaryKeyConstraint("instrument_id", "at", "trade_id", name="ticks_pkey"),
    _positive("ticks_price_is_positive", "price"),
    _not_negative("ticks_size_is_not_negative", "size"),
    _positive("ticks_bid_is_positive", "bid"),
    _positive("ticks_ask_is_positive", "ask"),
    CheckConstraint("side IN ('buy', 'sell', '')", name="ticks_side_is_known"),
    CheckConstraint("trade_id <> 0", name="ticks_trade_has_an_identity"),
    postgresql_partition_by="RANGE (at)",
)

# The index carries the values: candles of many instruments arrive mixed, so that a window of 1,000 would read 1,000
# pages of the table; of the index it reads about 20 (benchmarks/market_store.py shows the plan).
VALUES = ["open", "high", "low", "close", "volume", "trades"]

CANDLES = Table(
    "candles",
    METADATA,
    Column("at", DateTime(timezone=True), nullable=False, comment="the start of the bucket"),
    Column("trades", BigInteger, nullable=False, comment="0 where the venue does not say"),
    Column("instrument_id", Integer, nullable=False),
    Column("from_venue", Boolean, nullable=False, server_default=false(), comment="told by the venue, not rolled up"),
    Column("timeframe", Text, nullable=False),
    Column("open", Numeric, nullable=False),
    Column("high", Numeric, nullable=False),
    Column("low", Numeric, nullable=False),
    Column("close", Numeric, nullable=False),
    Column("volume", Numeric, nullable=False),
    PrimaryKeyConstraint("instrument_id", "timeframe", "at", name="candles_pkey", postgresql_include=VALUES),
    _positive("candles_high_is_positive", "high"),
    _positive("candles_low_is_positive", "low"),
    _positive("candles_open_is_positive", "open"),
    _positive("candles_close_is_positive", "close"),
    CheckConstraint("open BETWEEN low AND high", name="candles_open_is_in_range"),
    CheckConstraint("close BETWEEN low AND high", name="candles_close_is_in_range"),
    _not_negative("candles_volume_is_not_negative", "volume"),
    CheckConstraint("trades >= 0", name="candles_trades_is_not_negative"),
    postgresql_partition_by="LIST (timeframe)",
)
