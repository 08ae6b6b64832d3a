"""Running strategies on closed bars: each is asked once per instrument and bar, and its answer becomes a Signal row.

A strategy that has not answered within the patience is left to a thread that waits for the rest of its time limit, so
that it holds up nobody; the plug-in itself runs in a process that is killed when the limit is reached.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q

from apps.journal import services as journal
from apps.strategies import selectors
from apps.strategies.bars import Bars
from apps.strategies.host.pool import POOL, Host, HostLost, NotYet
from apps.strategies.models import Strategy
from apps.strategies.services import inquiry
from apps.strategies.services.inquiry import Due, Inquiry, StrategyFailed, Wish

PATIENCE: Final = 0.5  # seconds that others wait for one strategy
MAX_FAILURES: Final = 5  # bars in a row, then the strategy is switched off
GRACE: Final = timedelta(seconds=5)  # beyond the time limit, then a strategy counts as free again

logger = logging.getLogger(__name__)
Deliver = Callable[[list[int]], object]
_waiting: set[threading.Thread] = set()


def run_due(now: datetime, deliver: Deliver | None = None) -> list[int]:
    """Ask every strategy about bars that have closed and return the ids of the new signals.

    Asked again for the same bar, by a redelivered task or a second process, it makes none. `deliver` is told the new
    signals of each strategy at once, and later from a thread of its own those of a strategy that is slow. One that
    fails is recorded, and switched off after MAX_FAILURES bars in a row; the others do not notice.
    """
    read = Bars(now)
    found: list[int] = []
    for strategy in selectors.asked(now):
        due = _due(strategy, read)
        if due is None:
            continue
        host = _host()
        if host is None:
            break  # the rest is asked a second later
        ids = _run(due, host, read, now, deliver)
        if ids and deliver is not None:
            deliver(ids)
        found += ids
    return found


def settle(timeout: float) -> bool:
    """Wait for the strategies that are slow; say whether all have answered or were given up."""
    deadline = time.monotonic() + timeout
    for thread in list(_waiting):
        thread.join(max(deadline - time.monotonic(), 0.0))
    return not any(thread.is_alive() for thread in list(_waiting))


def _due(strategy: Strategy, read: Bars) -> Due | None:
    bar_at = read.closed_at(strategy.bar_seconds) - timedelta(seconds=strategy.bar_seconds)
    if strategy.failed_bar_at is not None and strategy.failed_bar_at >= bar_at:
        return None
    instruments = selectors.without_signal(strategy, bar_at, selectors.instruments(strategy))
    return Due(strategy=strategy, bar_at=bar_at, instruments=instruments) if instruments else None


def _run(due: Due, host: Host, read: Bars, now: datetime, deliver: Deliver | None) -> list[int]:
    host.allow(settings.STRATEGY_TIME_LIMIT)
    asking = inquiry.about(due, read, host, now)
    try:
        wishes = inquiry.drive(asking, host, None, min(PATIENCE, host.remaining))
    except NotYet:
        _leave(due, asking, host, now, deliver)
        return []
    except (StrategyFailed, HostLost) as error:
        _give_up(due, host, error)
        return []
    except BaseException:  # no candles, or the task's own time limit: this host may still be at the question
        POOL.drop(host)
        raise
    POOL.give_back(host)
    return _store(due, wishes)


def _host() -> Host | None:
    try:
        host = POOL.take()
    except HostLost:
        logger.exception("Strategies cannot run")
        return None
    if host is None:
        logger.warning("Every process for strategies is busy with one that hangs")
    return host


def _leave(due: Due, asking: Inquiry, host: Host, now: datetime, deliver: Deliver | None) -> None:
    """Let a thread wait for a slow strategy, unless another process waits for it already."""
    until = now + timedelta(seconds=settings.STRATEGY_TIME_LIMIT) + GRACE
    free = Q(busy_until__isnull=True) | Q(busy_until__lte=now)
    if not Strategy.objects.filter(free, pk=due.strategy.pk).update(busy_until=until):
        POOL.drop(host)
        return
    thread = threading.Thread(
        target=_wait, args=(due, asking, host, deliver), name=f"strategy-{due.strategy.pk}", daemon=True
    )
    _waiting.add(thread)
    thread.start()


def _wait(due: Due, asking: Inquiry, host: Host, deliver: Deliver | None) -> None:
    """Wait for the rest of the time limit, then take what the strategy says or give it up."""
    try:
        ids = _late(due, asking, host)
        if ids and deliver is not None:
            deliver(ids)
    finally:
        Strategy.objects.filter(pk=due.strategy.pk).update(busy_until=None)
        connection.close()  # this thread's own
        _waiting.discard(threading.current_thread())


def _late(due: Due, asking: Inquiry, host: Host) -> list[int]:
    try:
        answer = host.answer(host.remaining)
        wishes = inquiry.drive(asking, host, answer, host.remaining)
    except NotYet:
        limit = settings.STRATEGY_TIME_LIMIT
        _give_up(due, host, StrategyFailed(f"it did not answer within {limit:g} s and was cut off"))
        return []
    except (StrategyFailed, HostLost) as error:
        _give_up(due, host, error)
        return []
    except BaseException:  # as above
        POOL.drop(host)
        raise
    POOL.give_back(host)
    return _store(due, wishes)


def _give_up(due: Due, host: Host, error: Exception) -> None:
    """End the process that a failed plug-in ran in, whatever it left behind there, and record the failure."""
    POOL.drop(host)
    _record_failure(due, str(error))


# The journal has a signal only when it says something else than the one before it: screens follow the journal.
_INSERT = """
WITH made AS (
    INSERT INTO strategies_signal (strategy_id, instrument_id, bar_at, stance, price, made_at, weight, reason, version,
        parameters, plan)
    SELECT w.* FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::smallint[], %s::numeric[],
        %s::timestamptz[], %s::numeric[], %s::text[], %s::text[], %s::jsonb[], %s::jsonb[]) AS w
    ON CONFLICT (strategy_id, instrument_id, bar_at) DO NOTHING
    RETURNING *
), told AS (
    INSERT INTO journal_event (kind, subject, actor, payload)
    SELECT 'signal.changed', 'strategy:' || made.strategy_id, '', jsonb_build_object(
        'signal', made.id, 'strategy', s.name, 'instrument', i.symbol, 'bar_at', made.bar_at, 'stance', made.stance,
        'before', before.stance, 'weight', trim_scale(made.weight)::text, 'price', trim_scale(made.price)::text,
        'plan', made.plan, 'reason', made.reason)
    FROM made
    JOIN strategies_strategy s ON s.id = made.strategy_id
    JOIN market_instrument i ON i.id = made.instrument_id
    LEFT JOIN LATERAL (
        SELECT b.stance, b.weight FROM strategies_signal b
        WHERE b.strategy_id = made.strategy_id AND b.instrument_id = made.instrument_id AND b.bar_at < made.bar_at
        ORDER BY b.bar_at DESC LIMIT 1
    ) AS before ON true
    WHERE made.stance <> coalesce(before.stance, 0) OR made.weight IS DISTINCT FROM before.weight
    ORDER BY made.id
)
SELECT id FROM made
"""


def _store(due: Due, wishes: Sequence[Wish]) -> list[int]:
    if not wishes:
        return []
    if due.strategy.failures:
        Strategy.objects.filter(pk=due.strategy.pk).update(failures=0)
    rows = [(*wish[:-2], _json(wish.parameters), _json(wish.plan)) for wish in wishes]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [list(column) for column in zip(*rows, strict=True)])
        return [row[0] for row in cursor.fetchall()]


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value)


def _record_failure(due: Due, why: str) -> None:
    """Count a failure once per bar, whoever saw it, and switch the strategy off when there were too many in a row."""
    strategy = due.strategy
    logger.warning("Strategy %s failed: %s", strategy.name, why)
    fresh = Q(failed_bar_at__isnull=True) | Q(failed_bar_at__lt=due.bar_at)
    with transaction.atomic():
        rows = Strategy.objects.filter(fresh, pk=strategy.pk)
        if not rows.update(failures=F("failures") + 1, failed_bar_at=due.bar_at):
            return
        count = Strategy.objects.values_list("failures", flat=True).get(pk=strategy.pk)
        payload = {
            "strategy": strategy.name,
            "bar_at": due.bar_at.isoformat(),
            "error": why[:500],
            "in_a_row": count,
        }
        journal.record("strategy.failed", selectors.subject(strategy.pk), payload=payload)
        if count >= MAX_FAILURES:
            Strategy.objects.filter(pk=strategy.pk).update(enabled=False, failures=0)
            journal.record("strategy.disabled", selectors.subject(strategy.pk), payload=payload)
