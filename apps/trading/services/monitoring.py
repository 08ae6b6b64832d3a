"""The watch over risk: every account is measured, every limit judged on what is held now, and breaches acted upon.

Any number of processes may look at once: measures are one row a minute, a breach is one row, and an act happens once.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from apps.domain.risk.facts import Facts, Need
from apps.trading.models import Account, RiskMetric
from apps.trading.services import acting, breaches, gathering, measuring, risk
from apps.trading.services.breaches import Breach
from apps.trading.services.risk import Limit, Ruled

log = logging.getLogger(__name__)
_ALWAYS: Final = frozenset({Need.MONEY, Need.HISTORY})
# What a rule that is wrong can raise. It is said, and does not blind the watch over everything else.
_WRONG = (ArithmeticError, ValueError, TypeError, LookupError, AttributeError)


class Watched(NamedTuple):
    """What one look at everything came to; `standing` are the violations that are open."""

    accounts: int
    standing: int
    opened: int
    ended: int
    acted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One account at one instant: its measure, and what every limit that can be judged without a wish said."""

    account: Account
    measure: RiskMetric
    ruled: tuple[Ruled, ...]
    unsure: tuple[Ruled, ...]  # could not be judged


def monitor(now: datetime) -> Watched:
    """Look at all accounts, write measures and violations, and do what broken limits say."""
    looks = [look(account, now) for account in Account.objects.order_by("pk")]
    measuring.store([each.measure for each in looks], now)
    standing = breaches.note(
        [Breach(each.account.pk, ruled) for each in looks for ruled in each.ruled if not ruled.verdict.allowed], now
    )
    unsure = [Breach(each.account.pk, ruled) for each in looks for ruled in each.unsure]
    ended = breaches.end([each.account.pk for each in looks], unsure, now)
    due = [each for each in standing if acting.is_due(each.action, each.acted_at, now)]
    acted = sum(acting.act(each.id, now=now) for each in due)
    return Watched(len(looks), len(standing), sum(each.is_new for each in standing), ended, acted)


def look(account: Account, now: datetime) -> Look:
    """Return how an account stands, without writing anything."""
    limits = [each for each in risk.limits(account) if risk.is_continuous(each)]
    facts = gathering.of_account(account, risk.needs(limits) | _ALWAYS, now)
    ruled = _judged(limits, facts)
    return Look(
        account=account,
        measure=gathering.metric_of(facts),
        ruled=tuple(each for each in ruled if each.verdict.known),
        unsure=tuple(each for each in ruled if not each.verdict.known),
    )


def is_overdue(after: timedelta, now: datetime) -> bool:
    """Say whether nobody has looked for longer than `after` although there are accounts."""
    last = measuring.last_at()
    return last <= now - after if last is not None else Account.objects.exists()


def _judged(limits: Sequence[Limit], facts: Facts) -> list[Ruled]:
    found = []
    for limit in limits:
        try:
            found.append(risk.judge(limit, facts))
        except _WRONG:
            log.exception("the limit %d (%s) cannot be judged for account %d", limit.id, limit.rule, facts.account_id)
            found.append(risk.unjudged(limit))
    return found
