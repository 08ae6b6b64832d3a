"""Moving a strategy from stage to stage: one UPDATE that checks what the move was decided on, and its event.

Whether there is evidence enough for a promotion is judged by the gate in `backtests`; here a promotion is carried out.
"""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from apps.domain.backtests import gate
from apps.domain.backtests.gate import Stage, Version
from apps.domain.errors import Problem, Refused
from apps.domain.plugins import PluginError
from apps.journal import services as journal
from apps.strategies import selectors, versions
from apps.strategies.models import Strategy


def promote(
    strategy: Strategy, wanted: Stage, version: Version, *, actor: str, evidence: Mapping[str, Any], reason: str = ""
) -> None:
    """Carry out a promotion that was decided on the row as given. Raises Refused when the row is another by now.

    Without evidence it is an override: `reason` says why, and both are told by the event.
    """
    gate.check_move(Stage(strategy.stage), wanted, paused_from=strategy.paused_from)
    payload = {"reason": reason, "evidence": dict(evidence), "version": version.digest, "code": version.code_hash}
    kind = "strategy.promoted" if evidence else "strategy.overruled"
    clean = {"failures": 0, "failed_bar_at": None}  # what an earlier version did counts no more
    _move(strategy, wanted, kind, payload, actor=actor, proven=version.digest, more=clean)


def move(strategy: Strategy, wanted: Stage, *, actor: str, reason: str = "") -> None:
    """Pause, resume, retire, revive or step down, none of which needs evidence. Raises Refused."""
    now = Stage(strategy.stage)
    gate.check_move(now, wanted, paused_from=strategy.paused_from)
    if gate.is_promotion(now, wanted):
        problem = Problem(field="stage", value=wanted, rule="needs evidence", remedy="promote it at the gate")
        raise Refused(problem)
    kept = strategy.proven if wanted in gate.PROVEN else ""
    paused_from = now.value if wanted == Stage.PAUSED else ""
    payload = {"reason": reason}
    _move(strategy, wanted, "strategy.moved", payload, actor=actor, proven=kept, paused_from=paused_from)


def holds(strategy: Strategy, version: Version, *, actor: str = "") -> bool:
    """Say whether the stage still rests on this code and these parameters; when not, it falls back to draft."""
    if strategy.proven == version.digest or Stage(strategy.stage) not in gate.PROVEN:
        return True
    if not strategy.proven:  # it is older than this rule: what it is now is what its stage rests on
        Strategy.objects.filter(pk=strategy.pk, proven="").update(proven=version.digest)
        strategy.proven = version.digest
        return True
    _void(strategy, "its code or parameters are not those the stage was given for", version.digest, actor=actor)
    return False


def void_if_changed(strategy: Strategy, *, actor: str = "") -> bool:
    """Let a strategy fall back to draft if its code or settings are not what its stage rests on; say whether it did."""
    try:
        version = versions.of(strategy.plugin, strategy.parameters, strategy.bar_seconds)
    except (PluginError, Refused) as error:
        if Stage(strategy.stage) not in gate.PROVEN:
            return False
        _void(strategy, f"it cannot run: {error}", "", actor=actor)
        return True
    return not holds(strategy, version, actor=actor)


def _void(strategy: Strategy, why: str, digest: str, *, actor: str) -> None:
    payload = {"reason": why, "version": digest}
    try:
        _move(strategy, Stage.DRAFT, "strategy.voided", payload, actor=actor, proven="")
    except Refused:
        strategy.refresh_from_db()  # somebody moved it meanwhile; the next look judges what it is then


def _move(
    strategy: Strategy,
    wanted: Stage,
    kind: str,
    payload: Mapping[str, Any],
    *,
    actor: str,
    proven: str,
    paused_from: str = "",
    more: Mapping[str, Any] | None = None,
) -> None:
    """Change the row if it is still the one that was looked at: of two at once, one wins. Raises Refused."""
    looked_at = ("stage", "plugin", "parameters", "bar_seconds", "proven")
    unchanged = {name: getattr(strategy, name) for name in looked_at}
    told = {"strategy": strategy.name, "from": strategy.stage, "to": wanted.value, **payload}
    with transaction.atomic():
        rows = Strategy.objects.filter(pk=strategy.pk, **unchanged)
        if not rows.update(stage=wanted.value, proven=proven, paused_from=paused_from, **(more or {})):
            rule, remedy = "was changed by somebody else meanwhile", "look at it again"
            raise Refused(Problem(field="stage", value=str(strategy), rule=rule, remedy=remedy))
        journal.record(kind, selectors.subject(strategy.pk), actor=actor, payload=told)
    strategy.stage, strategy.proven, strategy.paused_from = wanted.value, proven, paused_from
