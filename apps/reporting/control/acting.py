"""Commands that change something: trading is stopped and allowed again, positions are closed."""

from collections.abc import Callable, Iterable
from typing import Final

from apps.domain.legs import ExitReason
from apps.domain.restrictions import Scope, TradingState
from apps.domain.states import PositionStatus
from apps.reporting.control.contract import Answer, Asked, Command, number
from apps.trading import selectors
from apps.trading.services import exits, restrictions
from apps.trading.services.exits import AlreadyLeaving

SOURCE: Final = "telegram"
_SCOPES: Final = {str(each) for each in Scope if each is not Scope.SITE}
_ID: Final = 10**12


def _set(state: TradingState) -> Callable[[Asked], Answer]:
    def run(asked: Asked) -> Answer:
        scope, target, words = _where(asked.words)
        if scope is Scope.ACCOUNT and not selectors.for_user(asked.person).filter(pk=target).exists():
            return Answer(text=f"There is no account {target} of yours.")
        wanted = restrictions.Order(
            state=state,
            scope=scope,
            target=target,
            reason=" ".join(words)[:300] or "by Telegram",
            actor=asked.actor,
            source=SOURCE,
        )
        restrictions.order(wanted, now=asked.now)
        where = "the whole site" if scope is Scope.SITE else f"{scope} {target}"
        return Answer(text=f"Trading is {state}: {where}. {_MEANING[state]}")

    return run


_MEANING: Final = {
    TradingState.ACTIVE: "Positions may be opened again.",
    TradingState.REDUCING: "Nothing is opened; strategies may still leave. Stops and targets go on.",
    TradingState.HALTED: "Nothing is opened and no strategy is followed. Stops and targets go on.",
}


def close(asked: Asked) -> Answer:
    """Close one position, or all that the person may see."""
    first = asked.words[0].lower() if asked.words else ""
    mine = selectors.positions(asked.person).exclude(status=PositionStatus.CLOSED)
    if first == "all":
        wanted = list(mine.order_by("id").values_list("pk", flat=True))
        return _closed(asked, wanted) if wanted else Answer(text="No position is open.")
    key = number(asked.words, usual=0, most=_ID)
    if not key or not mine.filter(pk=key).exists():
        return Answer(text="Name an open position of yours by its number, like: close 12, or: close all")
    return _closed(asked, [key])


def _closed(asked: Asked, keys: list[int]) -> Answer:
    """Ask for exits; the same position asked for twice has one."""
    lines, done = [], 0
    for key in keys:
        try:
            exits.request_exit(
                position_id=key, reason=ExitReason.MANUAL, source=SOURCE, now=asked.now, actor=asked.actor
            )
            done += 1
        except AlreadyLeaving as error:
            lines.append(f"#{key} was left before (exit {error.exit_id}).")
    said = f"#{keys[0]} is being closed." if len(keys) == 1 and done else f"{done} positions are being closed."
    return Answer(text="\n".join([said, *lines[:20]]))


def _where(words: tuple[str, ...]) -> tuple[Scope, int, tuple[str, ...]]:
    """Return the scope and target that the words begin with, the site without any, and the other words."""
    if len(words) >= 2 and words[0].lower() in _SCOPES and words[1].isascii() and words[1].isdigit():
        return Scope(words[0].lower()), int(words[1][:12]), words[2:]
    return Scope.SITE, 0, words


def commands() -> Iterable[Command]:
    """Return the commands of this page. What protects is done at once; what undoes or sells asks back."""
    stop = _set(TradingState.HALTED)
    where = "[account|strategy|instrument <id>] [reason]"
    return (
        Command(name="stop", help=f"{where} open nothing more", run=stop, permission="trading.restrict", acts=True),
        Command(
            name="reduce",
            help=f"{where} open nothing more, strategies may leave",
            run=_set(TradingState.REDUCING),
            permission="trading.restrict",
            acts=True,
        ),
        Command(
            name="start",
            help=f"{where} allow trading again (asks back)",
            run=_set(TradingState.ACTIVE),
            permission="trading.rearm",
            acts=True,
            asks_back=True,
        ),
        Command(
            name="close",
            help="<id>|all close a position, or all (asks back)",
            run=close,
            permission="trading.change_position",
            acts=True,
            asks_back=True,
        ),
    )
