"""Stopping trading and allowing it again: a row and an event in PostgreSQL, nothing else, so that it always works."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from apps.domain.errors import Problem, Refused
from apps.domain.legs import ExitReason
from apps.domain.restrictions import Scope, TradingState, most_severe, refusal
from apps.domain.states import PositionStatus
from apps.journal import services as journal
from apps.market.models import Instrument
from apps.strategies.models import Strategy
from apps.trading import bell, locks
from apps.trading.models import Account, Restriction
from apps.trading.services import withdrawing


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Who wants trading to be what, where and why; `flatten` also leaves every position in the scope."""

    state: TradingState
    scope: Scope
    target: int = 0  # the account, strategy or instrument; 0 for the site
    reason: str
    actor: str
    source: str  # admin, api, command or monitor
    flatten: bool = False


def order(wanted: Order, *, now: datetime) -> int:
    """Set the trading state of a scope and return how many exits were asked for.

    The state waits for nobody: openings that read it before this finish, none that begins afterwards passes. To flatten
    comes second, in a transaction of its own that waits for those openings, so that what they opened is left as well.
    Raises Refused when the scope does not exist or the reason is missing.
    """
    problems = _problems(wanted)
    if problems:
        raise Refused(*problems)
    with transaction.atomic():
        _record(wanted, "trading.state_changed", {"before": _set(wanted, now)})
    if wanted.state is not TradingState.ACTIVE:
        why = f"trading is {wanted.state}: {wanted.reason}"
        withdrawing.withdraw(wanted.scope, wanted.target, now=now, why=why, actor=wanted.actor)
    if not wanted.flatten:
        return 0
    with transaction.atomic():
        locks.accounts(wanted.target if wanted.scope is Scope.ACCOUNT else None)
        asked = _leave(wanted, now)
        _record(wanted, "trading.flattened", {"exits": asked})
        bell.ring_after_commit()
    return asked


_BLOCK = """
INSERT INTO trading_restriction (scope, target, state, reason, actor, since)
VALUES (%(scope)s, %(target)s, %(state)s, %(reason)s, %(actor)s, %(now)s) ON CONFLICT DO NOTHING
"""


def block(wanted: Order, *, now: datetime) -> bool:
    """Make a scope reducing where nothing restricts it yet, and say whether that was so: it never softens a stop.

    For those that act by themselves. What a person says at the same moment counts, whoever is first.
    """
    values: dict[str, str | int | datetime] = {
        "scope": wanted.scope,
        "target": wanted.target,
        "state": TradingState.REDUCING,
        "reason": wanted.reason,
        "actor": wanted.actor,
        "now": now,
    }
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_BLOCK, values)
            is_new = bool(cursor.rowcount)
        if is_new:
            _record(wanted, "trading.state_changed", {"before": str(TradingState.ACTIVE)})
    why = f"trading is {wanted.state}: {wanted.reason}"
    withdrawing.withdraw(wanted.scope, wanted.target, now=now, why=why, actor=wanted.actor)
    return is_new


def _record(wanted: Order, kind: str, facts: dict[str, object]) -> None:
    """Write what was done, where, by whom and why, for the journal and the screens."""
    payload = {
        "scope": str(wanted.scope),
        "target": wanted.target,
        "state": str(wanted.state),
        "reason": wanted.reason,
        "source": wanted.source,
        **facts,
    }
    account_id = wanted.target if wanted.scope is Scope.ACCOUNT else None
    journal.record(kind, f"{wanted.scope}:{wanted.target}", account_id=account_id, actor=wanted.actor, payload=payload)
    bell.announce_after_commit()


def refusals(
    restrictions: Sequence[Restriction], *, account_id: int, instrument_id: int, strategy_id: int | None
) -> list[Problem]:
    """Say which restrictions stand in the way of an entry; none when it may go on."""
    return [
        refusal(
            TradingState(row.state),
            Scope(row.scope),
            f"#{row.target}",
            row.actor,
            f"since {row.since:%Y-%m-%d %H:%M:%S} UTC",
            row.reason,
        )
        for row in _applying(restrictions, account_id, instrument_id, strategy_id)
    ]


def state_of(
    restrictions: Sequence[Restriction], *, account_id: int, instrument_id: int, strategy_id: int | None
) -> TradingState:
    """Return the trading state in force for what a strategy, or a person, wants of an account and an instrument."""
    applying = _applying(restrictions, account_id, instrument_id, strategy_id)
    return most_severe(TradingState(row.state) for row in applying)


def _applying(
    restrictions: Sequence[Restriction], account_id: int, instrument_id: int, strategy_id: int | None
) -> list[Restriction]:
    targets = {
        Scope.SITE: 0,
        Scope.ACCOUNT: account_id,
        Scope.INSTRUMENT: instrument_id,
        Scope.STRATEGY: strategy_id,
    }
    return [row for row in restrictions if targets[Scope(row.scope)] == row.target]


def _set(wanted: Order, now: datetime) -> str:
    """Write the row, or take it away for active; return the state before."""
    before = locks.restriction(wanted.scope, wanted.target)
    if wanted.state is TradingState.ACTIVE:
        Restriction.objects.filter(scope=wanted.scope, target=wanted.target).delete()
    else:
        values = {"state": wanted.state, "reason": wanted.reason, "actor": wanted.actor, "since": now}
        Restriction.objects.update_or_create(scope=wanted.scope, target=wanted.target, defaults=values)
    return before.state if before else str(TradingState.ACTIVE)


_LEAVE = """
INSERT INTO trading_exit (position_id, reason, status, source, actor, note, tick_at, seen_at, late, epoch)
SELECT p.id, %(reason)s, 'triggered', %(source)s, %(actor)s, %(note)s, %(now)s, %(now)s, false, 0
FROM trading_position p LEFT JOIN strategies_signal s ON s.id = p.signal_id
WHERE p.status <> %(closed)s AND (%(scope)s = 'site'
    OR %(scope)s = 'account' AND p.account_id = %(target)s
    OR %(scope)s = 'instrument' AND p.instrument_id = %(target)s
    OR %(scope)s = 'strategy' AND s.strategy_id = %(target)s)
ORDER BY p.id
ON CONFLICT DO NOTHING
"""


def _leave(wanted: Order, now: datetime) -> int:
    """Ask for all positions of the scope to be left; those that are leaving as a whole already are left out."""
    values: dict[str, str | int | datetime] = {
        "reason": ExitReason.KILL_SWITCH,
        "source": wanted.source,
        "actor": wanted.actor,
        "note": wanted.reason,
        "now": now,
        "closed": PositionStatus.CLOSED,
        "scope": wanted.scope,
        "target": wanted.target,
    }
    with connection.cursor() as cursor:
        cursor.execute(_LEAVE, values)
        return int(cursor.rowcount)


def _problems(wanted: Order) -> list[Problem]:
    found = []
    if not wanted.reason.strip():
        found.append(Problem(field="reason", value="empty", rule="is needed", remedy="say why in one line"))
    models = {Scope.ACCOUNT: Account, Scope.STRATEGY: Strategy, Scope.INSTRUMENT: Instrument}
    model = models.get(wanted.scope)
    exists = wanted.target == 0 if model is None else model._default_manager.filter(pk=wanted.target).exists()
    if not exists:
        rule = "does not exist" if model else "is given for the site, which is everything"
        found.append(
            Problem(field="target", value=str(wanted.target), rule=rule, remedy=f"name a {wanted.scope} that exists")
        )
    if wanted.flatten and wanted.state is TradingState.ACTIVE:
        rule = "closes everything and allows new positions at once"
        found.append(Problem(field="flatten", value="true", rule=rule, remedy="use reducing or halted"))
    return found
