"""Prices and instruments for screens, asked for fast: in this process, then on Redis, then in PostgreSQL.

Nothing that moves money reads through here (tests/market/test_cache_money.py holds it to that): what this returns may
be some hundred milliseconds old, and a bug here may only ever show somebody a wrong number.
"""

from apps.market.cache.candles import Candle, candles
from apps.market.cache.rows import LatestQuote, ListedInstrument, instruments, quotes
from apps.market.cache.tiers import Tiers, forget, forget_after_commit, tiers, use

__all__ = [
    "Candle",
    "LatestQuote",
    "ListedInstrument",
    "Tiers",
    "candles",
    "forget",
    "forget_after_commit",
    "instruments",
    "quotes",
    "tiers",
    "use",
]
