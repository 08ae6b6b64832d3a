"""Limits that are broken, as rows: opened with the first look that sees it, ended when they hold again for a while."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import connection, transaction

from apps.domain.risk.words import Action
from apps.journal import services as journal
from apps.journal.services import Fact
from apps.trading import bell
from apps.trading.services.risk import Ruled

HOLDS_FOR: Final = timedelta(seconds=10)  # a number that swings about its limit is one breach, not many


class Breach(NamedTuple):
    """An account, and a limit that it breaks."""

    account_id: int
    ruled: Ruled


class Standing(NamedTuple):
    """A violation that stands: what it is to lead to, and what was done already."""

    id: int
    account_id: int
    limit_id: int
    action: Action
    acted_at: datetime | None
    is_new: bool


_NOTE = """
INSERT INTO trading_violation AS v (limit_id, rule, account_id, scope, target, number, bound, formula, sentence, action,
    began_at, seen_at)
SELECT l.id, s.rule, s.account_id, s.scope, s.target, s.number, s.bound, s.formula, s.sentence, s.action, %(now)s,
    %(now)s
FROM unnest(%(limit_id)s::bigint[], %(account_id)s::bigint[], %(rule)s::text[], %(scope)s::text[], %(target)s::bigint[],
    %(number)s::text[], %(bound)s::text[], %(formula)s::text[], %(sentence)s::text[], %(action)s::text[])
    AS s (limit_id, account_id, rule, scope, target, number, bound, formula, sentence, action)
JOIN trading_risklimit l ON l.id = s.limit_id AND l.enabled
ORDER BY s.account_id, s.limit_id
ON CONFLICT (limit_id, account_id, scope, target) WHERE ended_at IS NULL DO UPDATE SET
    number = EXCLUDED.number, bound = EXCLUDED.bound, formula = EXCLUDED.formula, sentence = EXCLUDED.sentence,
    action = EXCLUDED.action, seen_at = greatest(v.seen_at, EXCLUDED.seen_at)
RETURNING id, account_id, limit_id, action, acted_at, xmax = 0
"""
_END = """
UPDATE trading_violation v SET ended_at = %(now)s
WHERE v.ended_at IS NULL AND v.seen_at <= %(since)s AND v.account_id = ANY(%(accounts)s::bigint[])
    AND NOT EXISTS (SELECT FROM unnest(%(unsure_limits)s::bigint[], %(unsure_accounts)s::bigint[]) AS u (l, a)
        WHERE u.l = v.limit_id AND u.a = v.account_id)
RETURNING v.id, v.account_id, v.rule, v.began_at, v.sentence
"""


def note(found: Sequence[Breach], now: datetime) -> list[Standing]:
    """Open a violation for each limit that is newly broken, with an event, and keep those up that stand."""
    if not found:
        return []
    rows = [_row(each) for each in found]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_NOTE, {**columns, "now": now})
            standing = [_standing(row) for row in cursor.fetchall()]
        of = {(row["account_id"], row["limit_id"]): row for row in rows}
        new = [each for each in standing if each.is_new]
        journal.record_many([_violated(each, of[each.account_id, each.limit_id]) for each in new])
        if new:
            bell.announce_after_commit()
    return standing


def end(accounts: Collection[int], unsure: Sequence[Breach], now: datetime) -> int:
    """End the violations of these accounts that no look has seen for a while, with an event each; return how many.

    `unsure` are limits that could not be judged: what stood of them goes on standing.
    """
    values: dict[str, Any] = {
        "now": now,
        "since": now - HOLDS_FOR,
        "accounts": list(accounts),
        "unsure_limits": [each.ruled.limit.id for each in unsure],
        "unsure_accounts": [each.account_id for each in unsure],
    }
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_END, values)
            ended = cursor.fetchall()
        journal.record_many([_recovered(row, now) for row in ended])
        if ended:
            bell.announce_after_commit()
    return len(ended)


def _standing(row: tuple[Any, ...]) -> Standing:
    id_, account_id, limit_id, action, acted_at, is_new = row
    return Standing(id_, account_id, limit_id, Action(action), acted_at, is_new)


def _row(breach: Breach) -> dict[str, Any]:
    limit, verdict = breach.ruled.limit, breach.ruled.verdict
    told = verdict.as_json()
    return {
        "limit_id": limit.id,
        "account_id": breach.account_id,
        "rule": limit.rule,
        "scope": str(limit.scope),
        "target": limit.target,
        "number": told["number"],
        "bound": told["limit"],
        "formula": verdict.formula[:300],
        "sentence": verdict.finding[:500],
        "action": str(limit.action),
    }


def _violated(standing: Standing, row: dict[str, Any]) -> Fact:
    payload = {"violation": standing.id, **{name: row[name] for name in row if name != "account_id"}}
    return Fact("risk.violated", f"violation:{standing.id}", standing.account_id, "", payload)


def _recovered(row: tuple[Any, ...], now: datetime) -> Fact:
    id_, account_id, rule, began_at, sentence = row
    payload = {"violation": id_, "rule": rule, "sentence": sentence, "seconds": (now - began_at).total_seconds()}
    return Fact("risk.recovered", f"violation:{id_}", account_id, "", payload)
