"""How do the commands about figures read what they are asked: an account, a day, a zone?"""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.management.base import CommandError

from apps.market.models import Instrument
from apps.strategies.models import Strategy
from apps.trading.models import Account

WRONG_INPUT = 2  # exit status


def account(number: int) -> Account:
    """Return an account. Raises CommandError."""
    found = Account.objects.filter(pk=number).first()
    if found is None:
        raise wrong(f"account {number}: there is none; see the page Accounts for their numbers")
    return found


def instrument(symbol: str | None) -> int | None:
    """Return the key of an instrument, None for none. Raises CommandError."""
    if symbol is None:
        return None
    key = Instrument.objects.filter(symbol=symbol).values_list("pk", flat=True).first()
    if key is None:
        raise wrong(f"instrument {symbol!r}: there is none of that symbol; write it as the page Instruments does")
    return int(key)


def strategy(name: str | None) -> int | None:
    """Return the key of a strategy, None for none. Raises CommandError."""
    if name is None:
        return None
    key = Strategy.objects.filter(name=name).values_list("pk", flat=True).first()
    if key is None:
        raise wrong(f"strategy {name!r}: there is none of that name; write it as the page Strategies does")
    return int(key)


def midnight(text: str | None) -> datetime | None:
    """Return the first instant of a UTC day written like 2026-12-31, None for none. Raises CommandError."""
    if text is None:
        return None
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    except ValueError:
        raise wrong(f"day {text!r}: write it like 2026-12-31") from None


def zone(name: str) -> ZoneInfo:
    """Return a time zone. Raises CommandError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise wrong(f"time zone {name!r}: there is none of that name; write it like Europe/Berlin") from None


def wrong(sentence: str) -> CommandError:
    """Return an error that ends the command with the status of wrong input."""
    return CommandError(sentence, returncode=WRONG_INPUT)
