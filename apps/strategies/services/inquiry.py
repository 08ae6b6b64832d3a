"""Asking one strategy about one closed bar, as a conversation with the process that runs its plug-in.

It is a generator: it yields questions and is sent answers, so that whoever drives it may wait for an answer with
patience, go on with the next strategy, and let another thread wait for the rest.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from apps.domain.backtests.gate import Version
from apps.domain.strategies.contract import Candles
from apps.strategies import bars, selectors
from apps.strategies.bars import Bars
from apps.strategies.host.pool import Host, HostLost
from apps.strategies.models import Strategy
from apps.strategies.services import stages

WINDOW: Final = 2  # times the warm-up are read: bars in which nothing was traded are absent


class Question(NamedTuple):
    """What a host is asked."""

    told: dict[str, Any]
    markets: Sequence[Candles]


class Wish(NamedTuple):
    """A stance before it is a row, in the order of the columns."""

    strategy_id: int
    instrument_id: int
    bar_at: datetime
    stance: int
    price: str
    made_at: datetime
    weight: float | None
    reason: str
    version: str
    parameters: dict[str, Any]
    plan: dict[str, float] | None


class StrategyFailed(Exception):
    """A plug-in raised, answered nonsense, or took too long; the sentence says what."""


Inquiry = Generator[Question, dict[str, Any], list[Wish]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A strategy, the bar it is to be asked about, and the instruments it gave no signal for."""

    strategy: Strategy
    bar_at: datetime
    instruments: Sequence[int]


def about(due: Due, read: Bars, host: Host, now: datetime) -> Inquiry:
    """Ask what the strategy is, then what it says; return what it wants. Raises StrategyFailed."""
    strategy = due.strategy
    told = {"plugin": strategy.plugin, "parameters": strategy.parameters}
    key = repr(told)
    if key not in host.known:
        host.known[key] = _told((yield Question({**told, "do": "describe"}, ())))
    known = host.known[key]
    version = Version(
        plugin=strategy.plugin,
        code_hash=known["code_hash"],
        parameters=known["parameters"],
        bar_seconds=strategy.bar_seconds,
    )
    if not stages.holds(strategy, version):
        return []
    markets = _markets(due, read, known)
    if not markets:
        return []
    said = _told((yield Question({**told, "do": "judge"}, list(markets.values()))))
    return [
        Wish(
            strategy_id=strategy.pk,
            instrument_id=instrument_id,
            bar_at=due.bar_at,
            stance=one["stance"],
            price=repr(float(candles.close[-1])),
            made_at=now,
            weight=one["weight"],
            reason=one["reason"],
            version=version.code_hash,
            parameters=known["parameters"],
            plan=one["plan"],
        )
        for (instrument_id, candles), one in zip(markets.items(), said, strict=True)
    ]


def drive(inquiry: Inquiry, host: Host, answer: dict[str, Any] | None, patience: float) -> list[Wish]:
    """Carry a conversation on, from an answer or from its begin. Raises NotYet, StrategyFailed, HostLost."""
    try:
        question = next(inquiry) if answer is None else inquiry.send(answer)
        while True:
            host.ask(question.told, question.markets)
            question = inquiry.send(host.answer(patience))
    except StopIteration as end:
        wishes: list[Wish] = end.value
        return wishes


def _told(answer: dict[str, Any]) -> Any:
    if "error" in answer:
        raise StrategyFailed(answer["error"])
    return answer["told"]


def _markets(due: Due, read: Bars, known: dict[str, Any]) -> dict[int, Candles]:
    """Return the candles to look at by instrument, without those too young or not traded in this bar."""
    seconds, count = due.strategy.bar_seconds, WINDOW * known["warmup"]
    if not known["several"]:
        found = {key: read.last(key, seconds, count) for key in due.instruments}
        return {key: candles for key, candles in found.items() if _ready(candles, due, known["warmup"])}
    keys = selectors.instruments(due.strategy)  # all of them, whatever has a signal already
    shared = bars.aligned([read.last(key, seconds, count) for key in keys])
    return dict(zip(keys, shared, strict=True)) if _ready(shared[0], due, known["warmup"]) else {}


def _ready(candles: Candles, due: Due, warmup: int) -> bool:
    return len(candles.at) >= warmup and int(candles.at[-1]) == int(due.bar_at.timestamp())


__all__ = ["Due", "HostLost", "Inquiry", "Question", "StrategyFailed", "Wish", "about", "drive"]
