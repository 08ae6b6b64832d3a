"""Running strategies on closed bars: each is asked once per instrument and bar, and its answer becomes a Signal row."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from django.db import connection, transaction

from apps.domain.errors import Refused
from apps.domain.plugins import PluginError
from apps.domain.strategies import contract
from apps.domain.strategies.registry import STRATEGIES
from apps.journal import services as journal
from apps.market import selectors as market
from apps.strategies import selectors
from apps.strategies.models import Strategy

# Ticks are written in batches a few times a second; a bar is read once its last ones are certain to be there.
SETTLE: Final = timedelta(seconds=1)
WINDOW: Final = 2  # times the warm-up are read: bars in which nothing was traded are absent
MAX_FAILURES: Final = 5  # bars in a row, then the strategy is switched off

logger = logging.getLogger(__name__)


class Wish(NamedTuple):
    """A stance before it is a row."""

    strategy_id: int
    instrument_id: int
    bar_at: datetime
    stance: int
    price: str
    made_at: datetime


class StrategyFailed(Exception):
    """A plug-in raised, or answered with something that is no stance; the sentence says what."""


class _Bars:
    """The candles of one run, read once per instrument and bar length however many strategies look at them."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._read: dict[tuple[int, int], tuple[int, contract.Candles]] = {}

    def closed_at(self, bar_seconds: int) -> datetime:
        """Return when the last bar ended that is complete by now."""
        seconds = int((self._now - SETTLE).timestamp())
        return datetime.fromtimestamp(seconds - seconds % bar_seconds, UTC)

    def last(self, instrument_id: int, bar_seconds: int, count: int) -> contract.Candles:
        """Return up to `count` closed bars."""
        key = (instrument_id, bar_seconds)
        asked, found = self._read.get(key, (0, None))
        if found is None or asked < count:
            rows = market.candles(instrument_id, bar_seconds, limit=count, until=self.closed_at(bar_seconds))
            found = contract.Candles(rows.at, rows.open, rows.high, rows.low, rows.close, rows.volume)
            self._read[key] = (count, found)
        at, opened, high, low, close, volume = found
        newest = slice(-count, None)
        return contract.Candles(at[newest], opened[newest], high[newest], low[newest], close[newest], volume[newest])


def run_due(now: datetime) -> list[int]:
    """Ask every enabled strategy about bars that have closed and return the ids of the new signals.

    Asked again for the same bar, by a redelivered task or a second process, it makes none. A strategy that fails is
    recorded, and switched off after MAX_FAILURES bars in a row; the others do not notice.
    """
    bars = _Bars(now)
    return [signal_id for strategy in selectors.enabled() for signal_id in _run(strategy, bars, now)]


def _run(strategy: Strategy, bars: _Bars, now: datetime) -> list[int]:
    bar_at = bars.closed_at(strategy.bar_seconds) - timedelta(seconds=strategy.bar_seconds)
    due = selectors.without_signal(strategy, bar_at, selectors.instruments(strategy))
    if not due:
        return []
    failed = selectors.failed_bars(strategy)
    if bar_at.isoformat() in failed:
        return []
    try:
        wishes = _ask(strategy, due, bars, bar_at, now)
    except StrategyFailed as error:
        _record_failure(strategy, bar_at, str(error), len(failed) + 1)
        return []
    return _store(wishes)


def _ask(strategy: Strategy, due: Sequence[int], bars: _Bars, bar_at: datetime, now: datetime) -> list[Wish]:
    plugin = _plugin(strategy)
    wishes = []
    for instrument_id in due:
        candles = bars.last(instrument_id, strategy.bar_seconds, WINDOW * plugin.warmup)
        if len(candles.at) < plugin.warmup or int(candles.at[-1]) != int(bar_at.timestamp()):
            continue  # too young a market, or nothing was traded in this bar
        stance = _stance(plugin, candles)
        wishes.append(Wish(strategy.pk, instrument_id, bar_at, stance, repr(float(candles.close[-1])), now))
    return wishes


def _plugin(strategy: Strategy) -> contract.Strategy:
    try:
        return contract.build(STRATEGIES.get(strategy.plugin), strategy.parameters)
    except (PluginError, Refused) as error:
        raise StrategyFailed(str(error)) from error


def _stance(plugin: contract.Strategy, candles: contract.Candles) -> int:
    try:
        answer = plugin.stances(candles)
    except Exception as error:  # a plug-in is foreign code: whatever it raises is its failure, not ours
        raise StrategyFailed(f"{type(error).__name__}: {error}") from error
    if len(answer) != len(candles.at) or int(answer[-1]) not in (contract.LONG, contract.FLAT, contract.SHORT):
        raise StrategyFailed("the answer must be one stance per bar: +1, 0 or -1")
    return int(answer[-1])


_INSERT = """
INSERT INTO strategies_signal (strategy_id, instrument_id, bar_at, stance, price, made_at, reason)
SELECT w.*, '' FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::smallint[], %s::numeric[],
    %s::timestamptz[]) AS w
ON CONFLICT (strategy_id, instrument_id, bar_at) DO NOTHING
RETURNING id
"""


def _store(wishes: Sequence[Wish]) -> list[int]:
    if not wishes:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [list(column) for column in zip(*wishes, strict=True)])
        return [row[0] for row in cursor.fetchall()]


def _record_failure(strategy: Strategy, bar_at: datetime, why: str, in_a_row: int) -> None:
    logger.warning("Strategy %s failed: %s", strategy.name, why)
    payload = {"strategy": strategy.name, "bar_at": bar_at.isoformat(), "error": why[:500], "in_a_row": in_a_row}
    with transaction.atomic():
        journal.record(selectors.FAILED, selectors.subject(strategy), payload=payload)
        if in_a_row >= MAX_FAILURES:
            Strategy.objects.filter(pk=strategy.pk).update(enabled=False)
            journal.record(selectors.DISABLED, selectors.subject(strategy), payload=payload)
