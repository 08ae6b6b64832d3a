"""Where ticks and candles are kept: own tables in PostgreSQL, own schema, own migrations, no Django."""

from apps.market.store.connection import Store, connect
from apps.market.store.errors import RefusedRows, StoreBusy, StoreUnavailable
from apps.market.store.revisions import check, migrate, pending
from apps.market.store.timeframes import Timeframe

__all__ = [
    "RefusedRows",
    "Store",
    "StoreBusy",
    "StoreUnavailable",
    "Timeframe",
    "check",
    "connect",
    "migrate",
    "pending",
]
