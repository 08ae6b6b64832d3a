"""The channels a client may subscribe to, and which of them an event belongs to."""

from collections.abc import Collection

from apps.web.gateway.grants import Rights
from apps.web.gateway.messages import BadMessage

POSITIONS, EXITS, EVENTS, SYSTEM, QUOTES = "positions", "exits", "events", "system", "quotes"
NAMES = (POSITIONS, EXITS, EVENTS, SYSTEM, QUOTES)
QUOTES_OF = "quotes:"
_LEFT = frozenset({"position.reduced", "position.closed"})


def offered() -> list[str]:
    """Return the channels there are, as the welcome shows them."""
    return [*NAMES, f"{QUOTES_OF}SYMBOL"]


def symbol_of(name: str) -> str | None:
    """Return the instrument a channel is about; None if it is about none. Raises BadMessage for no channel at all."""
    if name in NAMES:
        return None
    if name.startswith(QUOTES_OF):
        return name.removeprefix(QUOTES_OF)
    raise unknown(name, "is not a channel", f"use one of {', '.join(offered())}")


def unknown(name: str, rule: str, remedy: str) -> BadMessage:
    """Return the answer to a channel that does not exist."""
    return BadMessage("unknown_channel", field="channel", value=name, rule=rule, remedy=remedy)


def pick(kind: str, account_id: int | None, channels: Collection[str]) -> str | None:
    """Return the most particular of the subscribed channels an event belongs to; None if it belongs to none."""
    for name in _of(kind, account_id):
        if name in channels:
            return name
    return None


def wants_quote(symbol: str, channels: Collection[str]) -> bool:
    """Say whether the quotes of an instrument are subscribed to."""
    return QUOTES in channels or f"{QUOTES_OF}{symbol}" in channels


def may_see(rights: Rights, account_id: int | None) -> bool:
    """Say whether a user may see an event: those of the user's accounts; what belongs to none is for superusers."""
    return rights.sees_all or account_id in rights.accounts


def _of(kind: str, account_id: int | None) -> list[str]:
    noun = kind.partition(".")[0]
    names = [POSITIONS] if noun == "position" else []
    if noun == "exit" or kind in _LEFT:
        names.append(EXITS)
    if account_id is None:
        names.append(SYSTEM)
    return [*names, EVENTS]
