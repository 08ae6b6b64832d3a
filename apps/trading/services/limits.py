"""Limits on risk as settings: added, changed and taken away with an event each, after their rule had its say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction

from apps.domain.errors import Problem, Refused
from apps.domain.plugins import UnknownPlugin
from apps.domain.restrictions import Scope
from apps.domain.risk import contract
from apps.domain.risk.registry import RULES
from apps.domain.risk.words import Action
from apps.journal import services as journal
from apps.market.models import Instrument
from apps.strategies.models import Strategy
from apps.trading.models import Account, RiskLimit, RiskProfile

_TARGETS = {Scope.ACCOUNT: Account, Scope.STRATEGY: Strategy, Scope.INSTRUMENT: Instrument}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A limit as it shall be."""

    rule: str
    scope: Scope = Scope.SITE
    target: int = 0  # the account, strategy or instrument; 0 for the site
    profile_id: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    action: Action = Action.REFUSE
    enabled: bool = True
    note: str = ""


def add(wanted: Wanted, *, actor: str) -> RiskLimit:
    """Add a limit. Raises Refused with every problem found."""
    return _save(RiskLimit(), wanted, "risk.limit_added", actor)


def change(limit_id: int, changes: Mapping[str, Any], *, actor: str) -> RiskLimit:
    """Change what is named of a limit; parameters not named stay. Raises Refused, and RiskLimit.DoesNotExist."""
    with transaction.atomic():
        row = RiskLimit.objects.get(pk=limit_id)
        values: dict[str, Any] = {
            "rule": row.rule,
            "scope": Scope(row.scope),
            "target": row.target,
            "profile_id": row.profile_id,
            "action": Action(row.action),
            "enabled": row.enabled,
            "note": row.note,
            **changes,
        }
        values["parameters"] = {**row.parameters, **changes.get("parameters", {})}
        return _save(row, Wanted(**values), "risk.limit_changed", actor)


def remove(limit_id: int, *, actor: str) -> None:
    """Take a limit away; its violations stay. Raises RiskLimit.DoesNotExist."""
    with transaction.atomic():
        row = RiskLimit.objects.get(pk=limit_id)
        _record("risk.limit_deleted", row, actor)
        row.delete()


def _save(row: RiskLimit, wanted: Wanted, kind: str, actor: str) -> RiskLimit:
    problems = _problems(wanted)
    if problems:
        raise Refused(*problems)
    row.rule, row.scope, row.target, row.profile_id = wanted.rule, wanted.scope, wanted.target, wanted.profile_id
    row.parameters, row.action = dict(wanted.parameters), wanted.action
    row.enabled, row.note = wanted.enabled, wanted.note
    try:
        with transaction.atomic():
            row.save()
            _record(kind, row, actor)
    except IntegrityError:
        rule = "stands for this place and profile already"
        raise Refused(_problem("rule", wanted.rule, rule, "change the limit there is")) from None
    return row


def _problems(wanted: Wanted) -> list[Problem]:
    found = []
    try:
        contract.build(RULES.get(wanted.rule), wanted.parameters)
    except UnknownPlugin:
        found.append(_problem("rule", wanted.rule[:60], "is no rule", f"use one of {', '.join(RULES.names())}"))
    except Refused as refused:
        found += [_problem(f"parameters.{one.field}", one.value, one.rule, one.remedy) for one in refused.problems]
    model = _TARGETS.get(wanted.scope)
    there = wanted.target == 0 if model is None else model._default_manager.filter(pk=wanted.target).exists()
    if not there:
        rule = "does not exist" if model else "is given for the site, which is everything"
        found.append(_problem("target", str(wanted.target), rule, f"name a {wanted.scope} that exists"))
    if wanted.profile_id is not None and not RiskProfile.objects.filter(pk=wanted.profile_id).exists():
        found.append(_problem("profile", str(wanted.profile_id), "does not exist", "choose another, or leave it out"))
    return found


def _record(kind: str, row: RiskLimit, actor: str) -> None:
    names = ("rule", "scope", "target", "parameters", "action", "enabled", "note")
    payload = {**{name: getattr(row, name) for name in names}, "profile": row.profile_id}
    journal.record(kind, f"risklimit:{row.pk}", actor=actor, payload=payload)


def _problem(name: str, value: str, rule: str, remedy: str) -> Problem:
    return Problem(field=name, value=value, rule=rule, remedy=remedy)
