"""Ticks by day and candles by timeframe and time, each with a partition that catches strays."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

SCHEMA = "market"
TIMEFRAMES = ("1s", "1m", "5m", "15m", "1h", "1d")


def upgrade() -> None:
    _create_ticks()
    op.execute("CREATE TABLE market.ticks_strays PARTITION OF market.ticks DEFAULT")
    _create_candles()
    for timeframe in TIMEFRAMES:
        op.execute(
            f"CREATE TABLE market.candles_{timeframe} PARTITION OF market.candles"
            f" FOR VALUES IN ('{timeframe}') PARTITION BY RANGE (at)"
        )
        op.execute(f"CREATE TABLE market.candles_{timeframe}_strays PARTITION OF market.candles_{timeframe} DEFAULT")


def downgrade() -> None:
    op.drop_table("candles", schema=SCHEMA)
    op.drop_table("ticks", schema=SCHEMA)


def _positive(name: str, column: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"{column} > 0 AND {column} < 1e24 AND scale({column}) <= 60", name=name)


def _not_negative(name: str, column: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"{column} >= 0 AND {column} < 1e24 AND scale({column}) <= 60", name=name)


def _create_ticks() -> None:
    op.create_table(
        "ticks",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="the trade's own time at the venue"),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False, comment="when the frame arrived here"),
        sa.Column(
            "trade_id", sa.BigInteger, nullable=False, comment="the venue's number; negative: derived from the print"
        ),
        sa.Column("instrument_id", sa.Integer, nullable=False),
        sa.Column("refilled", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("price", sa.Numeric, nullable=False),
        sa.Column("size", sa.Numeric, nullable=False, comment="base units; 0 where the venue gives none"),
        sa.Column("side", sa.Text, nullable=False, comment="the taker's side; empty where unknown"),
        sa.Column("bid", sa.Numeric),
        sa.Column("ask", sa.Numeric),
        sa.PrimaryKeyConstraint("instrument_id", "at", "trade_id", name="ticks_pkey"),
        _positive("ticks_price_is_positive", "price"),
        _not_negative("ticks_size_is_not_negative", "size"),
        _positive("ticks_bid_is_positive", "bid"),
        _positive("ticks_ask_is_positive", "ask"),
        sa.CheckConstraint("side IN ('buy', 'sell', '')", name="ticks_side_is_known"),
        sa.CheckConstraint("trade_id <> 0", name="ticks_trade_has_an_identity"),
        schema=SCHEMA,
        postgresql_partition_by="RANGE (at)",
    )


def _create_candles() -> None:
    op.create_table(
        "candles",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="the start of the bucket"),
        sa.Column("trades", sa.BigInteger, nullable=False, comment="0 where the venue does not say"),
        sa.Column("instrument_id", sa.Integer, nullable=False),
        sa.Column(
            "from_venue",
            sa.Boolean,
            nullable=False,
            server_default=sa.false(),
            comment="told by the venue, not rolled up",
        ),
        sa.Column("timeframe", sa.Text, nullable=False),
        sa.Column("open", sa.Numeric, nullable=False),
        sa.Column("high", sa.Numeric, nullable=False),
        sa.Column("low", sa.Numeric, nullable=False),
        sa.Column("close", sa.Numeric, nullable=False),
        sa.Column("volume", sa.Numeric, nullable=False),
        sa.PrimaryKeyConstraint(
            "instrument_id",
            "timeframe",
            "at",
            name="candles_pkey",
            postgresql_include=["open", "high", "low", "close", "volume", "trades"],
        ),
        _positive("candles_high_is_positive", "high"),
        _positive("candles_low_is_positive", "low"),
        _positive("candles_open_is_positive", "open"),
        _positive("candles_close_is_positive", "close"),
        sa.CheckConstraint("open BETWEEN low AND high", name="candles_open_is_in_range"),
        sa.CheckConstraint("close BETWEEN low AND high", name="candles_close_is_in_range"),
        _not_negative("candles_volume_is_not_negative", "volume"),
        sa.CheckConstraint("trades >= 0", name="candles_trades_is_not_negative"),
        schema=SCHEMA,
        postgresql_partition_by="LIST (timeframe)",
    )
