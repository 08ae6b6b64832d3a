"""What a candle looks like when it comes from a venue."""

from datetime import datetime
from decimal import Decimal

import msgspec


class VenueCandle(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One bar that opens at `opened_at` (UTC) and lasts `seconds`; numbers exactly as the venue wrote them."""

    symbol: str
    seconds: int
    opened_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
