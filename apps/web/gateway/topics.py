"""The channels a client may subscribe to, which of them an event belongs to, and who may see it."""

from collections.abc import Collection
from functools import lru_cache

from apps.web.gateway.grants import Rights
from apps.web.gateway.messages import BadMessage

FILLS, POSITIONS, EXITS, ORDERS, SIGNALS, RISK = "fills", "positions", "exits", "orders", "signals", "risk"
SYSTEM, EVENTS, QUOTES = "system", "events", "quotes"
NAMES = (POSITIONS, EXITS, ORDERS, FILLS, SIGNALS, RISK, SYSTEM, EVENTS, QUOTES)
QUOTES_OF, CANDLES_OF, MINUTELY = "quotes:", "candles:", ":1m"
TRADED = frozenset({"position.created", "position.enlarged", "position.reduced", "position.closed"})
STATED = ("trading.state_changed", "trading.flattened")  # of the site, a strategy, an instrument: everybody sees them
SIGNALLED = "signal.changed"
OPEN = (*STATED, SIGNALLED)  # kinds that others than superusers may see although they belong to no account
_LEFT = frozenset({"position.reduced", "position.closed"})
_OF_NOUN = {
    "position": POSITIONS,
    "exit": EXITS,
    "order": ORDERS,
    "signal": SIGNALS,
    "risk": RISK,
    "trading": RISK,
}


def offered() -> list[str]:
    """Return the channels there are, as the welcome shows them."""
    return [*NAMES, f"{QUOTES_OF}SYMBOL", f"{CANDLES_OF}SYMBOL{MINUTELY}"]


def symbol_of(name: str) -> str | None:
    """Return the instrument a channel is about; None if it is about none. Raises BadMessage for no channel at all."""
    if name in NAMES:
        return None
    if name.startswith(QUOTES_OF):
        return name.removeprefix(QUOTES_OF)
    if name.startswith(CANDLES_OF) and name.endswith(MINUTELY):
        return name.removeprefix(CANDLES_OF).removesuffix(MINUTELY)
    raise unknown(name, "is not a channel", f"use one of {', '.join(offered())}")


def candles_of(symbol: str) -> str:
    """Return the channel of an instrument's candles."""
    return f"{CANDLES_OF}{symbol}{MINUTELY}"


def unknown(name: str, rule: str, remedy: str) -> BadMessage:
    """Return the answer to a channel that does not exist."""
    return BadMessage("unknown_channel", field="channel", value=name, rule=rule, remedy=remedy)


@lru_cache(maxsize=1024)
def of(kind: str, is_of_account: bool) -> tuple[str, ...]:
    """Return the channels an event belongs to, the most particular first."""
    noun = kind.partition(".")[0]
    names = [FILLS] if kind in TRADED else []
    if noun in _OF_NOUN:
        names.append(_OF_NOUN[noun])
    if kind in _LEFT:
        names.append(EXITS)
    if not is_of_account:
        names.append(SYSTEM)
    return (*names, EVENTS)


def wants_quote(symbol: str, channels: Collection[str]) -> bool:
    """Say whether the quotes of an instrument are subscribed to."""
    return QUOTES in channels or f"{QUOTES_OF}{symbol}" in channels


def may_see(rights: Rights, kind: str, account_id: int | None, subject: str) -> bool:
    """Say whether a person may see an event: what belongs to their accounts; of the rest the trading state of all, the
    signals of the strategies they may see, and everything for superusers."""
    if rights.sees_all:
        return True
    if account_id is not None:
        return account_id in rights.accounts
    if kind == SIGNALLED:
        return rights.sees_strategies or subject in rights.strategies
    return kind in STATED
