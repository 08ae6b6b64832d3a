"""What one price from a venue looks like, whatever venue it came from."""

import msgspec


class Tick(msgspec.Struct, frozen=True, gc=False):
    """One trade print of one product, in the order the feed accepted it.

    `price` finds candidates at the speed of a float; `text` is the price exactly as the venue sent it, and every
    decision about money is taken from it as a Decimal. A text has at most 15 significant digits, so the float holds
    it exactly and `Decimal(repr(price)) == Decimal(text)`.
    """

    symbol: str
    price: float
    text: str
    trade_id: int  # rises by one per product; 0 where the venue gives none
    sequence: int  # the venue's message number; 0 where it gives none
    size: str  # base units; "0" where the venue gives none
    side: str  # the taker's side: "buy", "sell", or "" where unknown
    bid: str  # best bid beside this print; "" where unknown
    ask: str  # best ask beside this print; "" where unknown
    venue_time: str  # ISO 8601 with offset, as the venue stamped it; "" where unknown
    received_ns: int  # wall clock when the frame arrived, nanoseconds since the epoch
    snapshot: bool = False  # the replay of an old trade that a venue sends after a subscribe
    refilled: bool = False  # fetched by REST after a gap, so late
    off_market: bool = False  # a lone print away from the market: may fire an exit, moves no trailing mark
