"""Quotes from their table, for as long as Redis is silent."""

from apps.domain import numbers
from apps.market.models import Instrument, Quote
from apps.web.gateway.messages import Quoted, stamp

SILENCE = 1.0  # seconds without a word from Redis after which the table is read, once per as many seconds


def stored() -> list[Quoted]:
    """Return the latest quote of every instrument in the shape Redis publishes them in."""
    rows = Quote.objects.values_list("instrument__symbol", "price", "bid", "ask", "at", "trade_id")
    return [
        Quoted(
            instrument=symbol,
            price=numbers.plain(price),
            bid=None if bid is None else numbers.plain(bid),
            ask=None if ask is None else numbers.plain(ask),
            at=stamp(at),
            trade_id=trade_id,
        )
        for symbol, price, bid, ask, at, trade_id in rows
    ]


def symbols() -> frozenset[str]:
    """Return the symbols of all instruments."""
    return frozenset(Instrument.objects.values_list("symbol", flat=True))
