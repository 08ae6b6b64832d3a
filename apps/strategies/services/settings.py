"""Settings of a strategy: parameters its plug-in takes, the length of its bars, and whether it is asked."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from apps.domain.backtests.gate import FOLLOWED, Stage
from apps.domain.errors import Problem, Refused
from apps.domain.plugins import PluginError
from apps.domain.strategies import contract
from apps.domain.strategies.registry import STRATEGIES
from apps.journal import services as journal
from apps.strategies import selectors
from apps.strategies.models import Strategy
from apps.strategies.services import stages


def change(
    strategy_id: int, *, parameters: Mapping[str, Any] | None = None, bar_seconds: int | None = None, actor: str
) -> Strategy:
    """Change parameters that are named, and the length of bars; a stage that rested on others falls back to draft.

    Raises Refused with every problem, and Strategy.DoesNotExist.
    """
    with transaction.atomic():
        strategy = Strategy.objects.get(pk=strategy_id)
        if parameters is not None:
            strategy.parameters = _fitting(strategy, {**strategy.parameters, **parameters})
        strategy.bar_seconds = bar_seconds or strategy.bar_seconds
        strategy.save(update_fields=["parameters", "bar_seconds"])
        changes = {"parameters": dict(strategy.parameters), "bar_seconds": strategy.bar_seconds}
        _record(strategy, changes, actor)
        stages.void_if_changed(strategy, actor=actor)
    return strategy


def start(strategy_id: int, *, actor: str, reason: str = "") -> Strategy:
    """Let a strategy be asked: a pause ends, it is switched on. Raises Refused unless its stage is followed then."""
    with transaction.atomic():
        strategy = Strategy.objects.get(pk=strategy_id)
        if strategy.stage == Stage.PAUSED and strategy.paused_from:
            stages.move(strategy, Stage(strategy.paused_from), actor=actor, reason=reason)
        if strategy.stage not in FOLLOWED:
            rule, remedy = f"is {strategy.stage}: nobody follows it", "promote it at the gate first"
            raise Refused(Problem(field="stage", value=strategy.name, rule=rule, remedy=remedy))
        stages.void_if_changed(strategy, actor=actor)
        _switch(strategy, on=True, actor=actor, reason=reason)
    return strategy


def stop(strategy_id: int, *, actor: str, reason: str = "") -> Strategy:
    """Let a strategy be asked no more: one that is followed pauses. Its positions stay with their exits."""
    with transaction.atomic():
        strategy = Strategy.objects.get(pk=strategy_id)
        if strategy.stage in FOLLOWED:
            stages.move(strategy, Stage.PAUSED, actor=actor, reason=reason)
        else:
            _switch(strategy, on=False, actor=actor, reason=reason)
    return strategy


def _fitting(strategy: Strategy, values: Mapping[str, Any]) -> dict[str, Any]:
    try:
        contract.build(STRATEGIES.get(strategy.plugin), values)
    except PluginError as error:
        remedy = "install it, or choose another"
        raise Refused(Problem(field="plugin", value=strategy.plugin, rule=str(error), remedy=remedy)) from error
    except Refused as refused:
        raise Refused(*(_named(problem) for problem in refused.problems)) from None
    return dict(values)


def _named(problem: Problem) -> Problem:
    name = f"parameters.{problem.field}"
    return Problem(field=name, value=problem.value, rule=problem.rule, remedy=problem.remedy)


def _switch(strategy: Strategy, *, on: bool, actor: str, reason: str) -> None:
    if strategy.enabled == on:
        return
    strategy.enabled = on
    strategy.failures = 0 if on else strategy.failures  # switched on it has all its tries anew
    strategy.save(update_fields=["enabled", "failures"])
    _record(strategy, {"enabled": on}, actor, reason)


def _record(strategy: Strategy, changes: Mapping[str, Any], actor: str, reason: str = "") -> None:
    payload = {"strategy": strategy.name, "changes": dict(changes), **({"reason": reason} if reason else {})}
    journal.record("strategy.changed", selectors.subject(strategy.pk), actor=actor, payload=payload)
