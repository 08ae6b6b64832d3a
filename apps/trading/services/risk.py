"""Which limits apply to whom, and what their rules say of given facts."""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from apps.domain.errors import Refused
from apps.domain.plugins import UnknownPlugin
from apps.domain.restrictions import Scope
from apps.domain.risk.contract import Parameters, Rule, Verdict, build, unable
from apps.domain.risk.facts import Facts, Need
from apps.domain.risk.registry import RULES
from apps.domain.risk.words import Action
from apps.trading.models import Account, RiskLimit
from apps.trading.statements import Statement

REPAIR = "let a person mend or switch off this limit"


class Limit(NamedTuple):
    """One row of RiskLimit that is switched on."""

    id: int
    rule: str
    scope: Scope
    target: int
    parameters: str  # JSON as it is stored
    action: Action

    def applies(self, account_id: int, strategy_id: int | None, instrument_id: int) -> bool:
        """Say whether an entry of that account, strategy and instrument must pass it."""
        names = {Scope.SITE: 0, Scope.ACCOUNT: account_id, Scope.STRATEGY: strategy_id, Scope.INSTRUMENT: instrument_id}
        return names[self.scope] == self.target


class Ruled(NamedTuple):
    """A limit and what its rule said."""

    limit: Limit
    verdict: Verdict

    def as_json(self) -> dict[str, Any]:
        """Return it as a decision stores it."""
        limit = self.limit
        where = {"limit_id": limit.id, "scope": str(limit.scope), "target": limit.target}
        return {**self.verdict.as_json(), **where}


class Unfit(NamedTuple):
    """Why a limit cannot be judged: its plug-in is missing, or its parameters do not fit it."""

    why: str


_LIMITS = Statement(
    "risk_limits",
    """
    SELECT id, rule, scope, target, parameters::text, action FROM trading_risklimit
    WHERE enabled AND (profile_id IS NULL OR profile_id = :profile::bigint)
        AND (scope <> 'account' OR target = :account::bigint)
    ORDER BY id
    """,
)


def limits(account: Account) -> list[Limit]:
    """Return every limit that is switched on and may concern an account, by its profile or for everybody."""
    rows = _LIMITS.run(profile=account.risk_profile_id, account=account.pk)
    return [
        Limit(id_, rule, Scope(scope), target, parameters, Action(action))
        for id_, rule, scope, target, parameters, action in rows
    ]


def needs(rows: Iterable[Limit]) -> frozenset[Need]:
    """Return what the rules of these limits must be told."""
    found: set[Need] = set()
    for row in rows:
        made = _made(row.rule, row.parameters)
        if not isinstance(made, Unfit):
            found |= made[0].needs
    return frozenset(found)


def anyone_needs(need: Need) -> bool:
    """Say whether a rule that is switched on anywhere must be told something."""
    names = [name for name in RULES.names() if need in RULES.get(name).needs]
    return RiskLimit.objects.filter(enabled=True, rule__in=names).exists()


def is_continuous(limit: Limit) -> bool:
    """Say whether a limit can be judged without a wish; one that cannot be judged at all refuses entries instead."""
    made = _made(limit.rule, limit.parameters)
    return not isinstance(made, Unfit) and made[0].continuous


def judge(limit: Limit, facts: Facts) -> Ruled:
    """Let a limit judge the facts in its own scope; one that cannot judge refuses."""
    made = _made(limit.rule, limit.parameters)
    if isinstance(made, Unfit):
        return Ruled(limit, unable(limit.rule, made.why, REPAIR))
    rule, chosen = made
    return Ruled(limit, rule.judge(facts.within(limit.scope, limit.target), chosen))


def unjudged(limit: Limit) -> Ruled:
    """Say of a limit that its rule failed."""
    return Ruled(limit, unable(limit.rule, f"the rule {limit.rule} failed; see the log", REPAIR))


@lru_cache(maxsize=1024)
def _made(name: str, parameters: str) -> tuple[Rule[Any], Parameters] | Unfit:
    """Make the rule and its parameters, once per text that they are stored as."""
    try:
        plugin = RULES.get(name)
        return plugin(), build(plugin, _named(parameters))
    except (UnknownPlugin, Refused) as error:
        return Unfit(f"the rule {name} cannot judge: {error}"[:300])


def _named(parameters: str) -> dict[str, Any]:
    values = json.loads(parameters)
    return values if isinstance(values, dict) else {"parameters": values}
