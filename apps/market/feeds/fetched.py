"""What does a trade look like that was asked for by REST? A tick marked as refilled, with what of it is believed."""

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from msgspec.structs import replace

from apps.domain import feed_rules
from apps.domain.ticks import Tick
from apps.market.feeds.exact import plain


def tick(
    *,
    symbol: str,
    price: str,
    received_ns: int,
    trade_id: int = 0,
    size: str = "0",
    side: str = "",
    venue_time: str = "",
) -> Tick | None:
    """Return a trade as a tick, or None when its price cannot be believed."""
    try:
        number = feed_rules.read_price(price)
    except feed_rules.PriceRefused:
        return None
    return Tick(
        symbol=symbol,
        price=number,
        text=price,
        trade_id=trade_id,
        sequence=0,
        size=size if feed_rules.is_size(size) else "0",
        side=side if side in ("buy", "sell") else "",
        bid="",
        ask="",
        venue_time=venue_time if feed_rules.instant_ns(venue_time) is not None else "",
        received_ns=received_ns,
        refilled=True,
    )


def with_quote(item: Tick, bid: str, ask: str) -> Tick:
    """Return a tick with the quote beside it, when the pair is a market."""
    _, high = feed_rules.quote_of(bid, ask)
    return replace(item, bid=bid, ask=ask) if high < float("inf") else item


def increment(text: str) -> str:
    """Return an increment without padding zeros, "" for none."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return ""
    return plain(str(value.normalize())) if value.is_finite() and value > 0 else ""


def as_instant(seconds: int) -> datetime:
    """Return whole seconds since the epoch as an instant."""
    return datetime.fromtimestamp(seconds, UTC)
