"""What a broken limit leads to by itself: its scope is blocked, positions are left. Once, however many look.

The block comes first, in a transaction of its own that waits for no opening; the exits come second, under the lock of
the account, after whatever was being opened there. A crash between the two is made up for by the next look.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction

from apps.domain.legs import ExitReason
from apps.domain.restrictions import Scope, TradingState
from apps.domain.risk.reducing import Lot, worst_first
from apps.domain.risk.words import Action
from apps.journal import services as journal
from apps.trading import bell, locks
from apps.trading.models import Account, Violation
from apps.trading.services import gathering, restrictions, risk
from apps.trading.services.risk import Limit

ACTOR: Final = "risk monitor"
SOURCE: Final = "monitor"
AGAIN: Final = timedelta(minutes=1)  # a breach that stands that long after its exits were asked for is acted on anew
_LEAVING = (Action.REDUCE, Action.FLATTEN)


def is_due(action: Action, acted_at: datetime | None, now: datetime) -> bool:
    """Say whether a breach is to be acted on now."""
    if action is Action.REFUSE:
        return False
    return acted_at is None or (action in _LEAVING and acted_at <= now - AGAIN)


def act(violation_id: int, *, now: datetime) -> bool:
    """Do what the limit of a violation says, unless another has done it; say whether something was done here."""
    with transaction.atomic():
        violation = _standing(violation_id, now)
        if violation is None:
            return False
        _block(violation, now)
        if violation.action == Action.BLOCK:
            _done(violation, now, exits=0)
            return True
    return _leave(violation_id, now)


def _standing(violation_id: int, now: datetime) -> Violation | None:
    violation = locks.violation(violation_id)
    if violation is None or not is_due(Action(violation.action), violation.acted_at, now):
        return None
    return violation


def _block(violation: Violation, now: datetime) -> None:
    """Make the scope reducing; a limit of the site binds each account for itself: it blocks the one that broke it."""
    scope, target = Scope(violation.scope), violation.target
    if scope is Scope.SITE:
        scope, target = Scope.ACCOUNT, violation.account_id
    wanted = restrictions.Order(
        state=TradingState.REDUCING,
        scope=scope,
        target=target,
        reason=f"{violation.rule}: {violation.sentence}"[:300],
        actor=ACTOR,
        source=SOURCE,
    )
    restrictions.block(wanted, now=now)


def _leave(violation_id: int, now: datetime) -> bool:
    with transaction.atomic():
        violation = _standing(violation_id, now)
        if violation is None:
            return False
        account = locks.account(violation.account_id)
        lots = _lots(account)
        chosen = _chosen(violation, account, lots, now)
        asked = _ask(chosen, violation, now)
        if violation.acted_at is None or asked:
            _done(violation, now, exits=asked)
        if asked:
            bell.ring_after_commit()
    return bool(asked) or violation.acted_at == now


def _chosen(violation: Violation, account: Account, lots: Sequence[Lot], now: datetime) -> list[int]:
    """Return the lots to leave: all of the scope, or as few as make the limit hold, the largest loss first."""
    scope, target = Scope(violation.scope), violation.target
    if violation.action == Action.FLATTEN or violation.limit is None:
        return [lot.id for lot in lots if lot.is_within(scope, target)]
    row = violation.limit
    limit = next((each for each in risk.limits(account) if each.id == row.pk), None)
    if limit is None:  # switched off in this moment
        return []
    return _until_it_holds(limit, account, lots, now)


def _until_it_holds(limit: Limit, account: Account, lots: Sequence[Lot], now: datetime) -> list[int]:
    facts = gathering.of_account(account, risk.needs([limit]), now).within(limit.scope, limit.target)
    return worst_first(facts, lots, lambda changed: risk.judge(limit, changed).verdict)


_LOTS = """
SELECT p.id, p.instrument_id, i.symbol, i.base_currency, s.strategy_id, CASE p.side WHEN 'long' THEN 1 ELSE -1 END,
    p.remaining, coalesce(p.remaining * q.price, p.cost),
    CASE p.side WHEN 'long' THEN 1 ELSE -1 END * (coalesce(p.remaining * q.price, p.cost) - p.cost)
FROM trading_position p
JOIN market_instrument i ON i.id = p.instrument_id
LEFT JOIN market_quote q ON q.instrument_id = p.instrument_id
LEFT JOIN strategies_signal s ON s.id = p.signal_id
WHERE p.account_id = %s AND p.status IN ('opening', 'open', 'closing') AND NOT EXISTS (
    SELECT FROM trading_exit e WHERE e.position_id = p.id AND e.leg_id IS NULL AND e.status IN ('triggered', 'claimed'))
ORDER BY p.id
"""
_ASK = """
INSERT INTO trading_exit (position_id, reason, status, source, actor, note, tick_at, seen_at, late, epoch)
SELECT p.id, %(reason)s, 'triggered', %(source)s, %(actor)s, %(note)s, %(now)s, %(now)s, false, 0
FROM trading_position p WHERE p.id = ANY(%(positions)s::bigint[]) AND p.status <> 'closed'
ORDER BY p.id ON CONFLICT DO NOTHING
"""


def _lots(account: Account) -> list[Lot]:
    """Return what an account holds, without what is being left as a whole already."""
    with connection.cursor() as cursor:
        cursor.execute(_LOTS, [account.pk])
        return [Lot._make(row) for row in cursor]


def _ask(positions: Sequence[int], violation: Violation, now: datetime) -> int:
    if not positions:
        return 0
    values: dict[str, Any] = {
        "positions": list(positions),
        "reason": ExitReason.RISK,
        "source": SOURCE,
        "actor": ACTOR,
        "note": f"{violation.rule}: {violation.sentence}"[:300],
        "now": now,
    }
    with connection.cursor() as cursor:
        cursor.execute(_ASK, values)
        return int(cursor.rowcount)


def _done(violation: Violation, now: datetime, *, exits: int) -> None:
    violation.acted_at = now
    violation.save(update_fields=["acted_at"])
    payload = {
        "violation": violation.pk,
        "rule": violation.rule,
        "action": str(violation.action),
        "exits": exits,
    }
    subject = f"violation:{violation.pk}"
    journal.record("risk.acted", subject, account_id=violation.account_id, actor=ACTOR, payload=payload)
    bell.announce_after_commit()
