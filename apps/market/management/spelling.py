"""How people write instants and lengths of candles on the command line, and what they are told when they are wrong."""

from argparse import ArgumentTypeError
from datetime import UTC, datetime

from apps.market.store import Timeframe


def instant(text: str) -> datetime:
    """Return an instant with its offset in UTC; a time without one is refused: nobody knows which hour it means."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no instant; write it like 2026-01-31T00:00:00Z") from None
    if found.tzinfo is None:
        raise ArgumentTypeError(f"{text!r} has no offset from UTC; write it like 2026-01-31T00:00:00Z")
    try:
        return found.astimezone(UTC)
    except OverflowError:
        raise ArgumentTypeError(f"{text!r} is outside of all calendars; write it like 2026-01-31T00:00:00Z") from None


def timeframe(text: str) -> Timeframe:
    """Return the length of a candle."""
    try:
        return Timeframe(text)
    except ValueError:
        known = ", ".join(Timeframe)
        raise ArgumentTypeError(f"{text!r} is no length of a candle; use one of {known}") from None
