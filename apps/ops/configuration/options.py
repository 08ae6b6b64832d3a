"""Which settings may change while the site runs: each with its kind, bounds and meaning. The rest wants a new start.

A row names the variable that people know (`EXIT_BATCH`) and the attribute of the settings that the code reads.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from django.conf import settings

Value = Any  # what the code reads: int, Decimal, bool, timedelta, str, list of str, or three numbers


class WrongValue(Exception):
    """A text is no value of an option; the sentence says what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting that may change live: `read` turns text into what the code reads, `write` turns it back."""

    name: str
    group: str
    meaning: str
    allowed: str
    read: Callable[[str], Value]
    write: Callable[[Value], str]
    attribute: str
    choices: tuple[str, ...] = ()
    key: str = ""  # of a setting that holds several by name

    def now(self) -> Value:
        """Return the value in force in this process."""
        found = getattr(settings, self.attribute)
        return found[self.key] if self.key else found

    def put(self, value: Value) -> None:
        """Let all code of this process read this value from now on."""
        if self.now() != value:
            whole = {**getattr(settings, self.attribute), self.key: value} if self.key else value
            setattr(settings, self.attribute, whole)


_SWITCH: Final = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 19) or not lowest <= int(text) <= highest:
            raise WrongValue(f"use a whole number from {lowest} to {highest}")
        return int(text)

    return read


def _integer(name: str, group: str, bounds: tuple[int, int], meaning: str) -> Option:
    return Option(
        name=name,
        group=group,
        meaning=meaning,
        allowed=f"{bounds[0]} to {bounds[1]}",
        read=_whole(*bounds),
        write=str,
        attribute=name,
    )


def _per_minute(name: str, key: str, meaning: str) -> Option:
    return replace(_integer(name, "rates", (0, 1_000_000), meaning), attribute="API_LIMITS", key=key)


def _length(name: str, attribute: str, unit: str, group: str, bounds: tuple[int, int], meaning: str) -> Option:
    """Describe a length of time that people give in whole seconds or minutes."""
    one = timedelta(**{unit: 1})
    whole = _whole(*bounds)
    return Option(
        name=name,
        group=group,
        meaning=meaning,
        allowed=f"{bounds[0]} to {bounds[1]} {unit}",
        read=lambda text: whole(text) * one,
        write=lambda value: str(value // one),
        attribute=attribute,
    )


def _number(name: str, group: str, bounds: tuple[str, str], meaning: str) -> Option:
    lowest, highest = Decimal(bounds[0]), Decimal(bounds[1])

    def read(text: str) -> Decimal:
        try:
            found = Decimal(text) if text.isascii() and "_" not in text else Decimal("NaN")
        except InvalidOperation:
            found = Decimal("NaN")
        if not found.is_finite() or not lowest <= found <= highest:
            raise WrongValue(f"use a number from {bounds[0]} to {bounds[1]}")
        return found

    return Option(
        name=name,
        group=group,
        meaning=meaning,
        allowed=f"{bounds[0]} to {bounds[1]}",
        read=read,
        write=lambda value: f"{value:f}",
        attribute=name,
    )


def _flag(name: str, group: str, meaning: str) -> Option:
    def read(text: str) -> bool:
        if text.lower() not in _SWITCH:
            raise WrongValue("use 1 or 0 (or true/false, yes/no, on/off)")
        return _SWITCH[text.lower()]

    return Option(
        name=name,
        group=group,
        meaning=meaning,
        allowed="1 or 0",
        read=read,
        write=lambda value: "1" if value else "0",
        attribute=name,
        choices=("1", "0"),
    )


def _choice(name: str, group: str, words: tuple[str, ...], meaning: str) -> Option:
    def read(text: str) -> str:
        if text not in words:
            raise WrongValue(f"use one of {', '.join(words)}")
        return text

    return Option(
        name=name,
        group=group,
        meaning=meaning,
        allowed=", ".join(words),
        read=read,
        write=str,
        attribute=name,
        choices=words,
    )


def _networks(text: str) -> list[str]:
    found = [word.strip() for word in text.split(",") if word.strip()]
    for word in found:
        try:
            ipaddress.ip_network(word)
        except ValueError as error:
            raise WrongValue(f"{word!r} is no network: {error}") from None
    return found


def _keep(text: str) -> tuple[int, ...]:
    found = tuple(map(_whole(0, 1000), (word.strip() for word in text.split(","))))
    if len(found) != 3:
        raise WrongValue("use three numbers up to 1000: days,weeks,months")
    return found


OPTIONS: Final = (
    _length(
        "QUOTE_STALE_SECONDS",
        "QUOTE_STALE_AFTER",
        "seconds",
        "limits",
        (1, 3600),
        "A price without a sign of life for this long opens nothing. It never holds up an exit.",
    ),
    _length(
        "EXIT_LATE_SECONDS",
        "EXIT_LATE_AFTER",
        "seconds",
        "limits",
        (1, 3600),
        "An exit executed later than this after its tick is filled at the quote then in force and marked late.",
    ),
    _integer("EXIT_BATCH", "limits", (1, 20_000), "Positions per batch of exits."),
    _integer("STRATEGY_TIME_LIMIT", "limits", (1, 300), "Seconds a strategy may take, then its process is killed."),
    _integer("GATE_PAPER_DAYS", "limits", (0, 3650), "Days of paper trading that a promotion to live needs."),
    _integer("TICK_RETENTION_DAYS", "limits", (1, 3650), "Days of ticks to keep; candles stay."),
    Option(
        name="BACKUP_KEEP",
        group="limits",
        meaning="For how many days, weeks and months the newest backup of each is kept.",
        allowed="three numbers up to 1000",
        read=_keep,
        write=lambda value: ",".join(map(str, value)),
        attribute="BACKUP_KEEP",
    ),
    _length(
        "SESSION_IDLE_MINUTES",
        "SESSION_IDLE",
        "minutes",
        "limits",
        (1, 720),
        "Minutes without anything done after which a session ends.",
    ),
    _length(
        "REAUTHENTICATE_MINUTES",
        "REAUTHENTICATE_AFTER",
        "minutes",
        "limits",
        (1, 720),
        "Minutes after which one proves anew who one is before what is dangerous.",
    ),
    _per_minute("API_READS_PER_MINUTE", "read", "Requests that read, per token or session; 0 is no limit."),
    _per_minute("API_TRADES_PER_MINUTE", "trade", "All other requests, per token or session."),
    _per_minute("API_PERSON_PER_MINUTE", "person", "All requests of one person, whatever the token."),
    _per_minute("API_REFUSED_PER_MINUTE", "refused", "Requests without a good token or password, per address."),
    _number("PAPER_FEE_RATE", "rates", ("0", "0.1"), "Fee of new paper accounts, of the notional."),
    _number("PAPER_SLIPPAGE_RATE", "rates", ("0", "0.1"), "Slippage of new paper accounts, of the price."),
    _number("PAPER_CASH", "rates", ("0", "1000000000000"), "What the first paper account starts with."),
    Option(
        name="NOTIFY_ALLOWED_NETWORKS",
        group="channels",
        meaning="Networks that messages may go to although they are not public.",
        allowed="networks, comma-separated",
        read=_networks,
        write=",".join,
        attribute="NOTIFY_ALLOWED_NETWORKS",
    ),
    _flag("SEND_MESSAGES", "features", "Send notifications; off, they wait and go out once it is on again."),
    _flag("RUN_STRATEGIES", "features", "Ask strategies for signals; off, nothing new is opened by them."),
    _flag("RUN_BACKTESTS", "features", "Begin backtests and searches; off, they wait."),
    _choice("LOG_LEVEL", "channels", ("DEBUG", "INFO", "WARNING", "ERROR"), "What goes to standard error."),
)
BY_NAME: Final = {option.name: option for option in OPTIONS}
