"""Show how far a strategy has come and what its next promotion needs; promote, override, pause, retire."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from apps.backtests.services import gate
from apps.domain.backtests.gate import Stage, is_promotion
from apps.domain.errors import Refused
from apps.strategies.models import Strategy


class Command(BaseCommand):
    """manage.py stage STRATEGY [STAGE]"""

    help = "Show the stage of a strategy and the evidence for the next one, or move it to a stage."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the strategy, the stage wanted, and the reason of an override."""
        parser.add_argument("strategy", help="its name or number")
        parser.add_argument("stage", nargs="?", choices=[stage.value for stage in Stage], help="where it is to go")
        parser.add_argument("--override", metavar="REASON", help="promote without evidence, for this reason")
        parser.add_argument("--reason", default="", help="why it is paused, retired or stepped down")
        parser.add_argument("--actor", default="command line", help="who asks, for the journal")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **given: Any) -> None:
        """Move it if asked to, then tell how it stands."""
        strategy = _strategy(given["strategy"])
        try:
            if given["stage"]:
                _move(strategy, Stage(given["stage"]), given)
            strategy.refresh_from_db()
            standing = gate.standing(strategy)
        except Refused as refused:
            raise CommandError(str(refused)) from refused
        self.stdout.write(_as_json(strategy, standing) if given["json"] else _as_text(strategy, standing))


def _strategy(named: str) -> Strategy:
    found = Strategy.objects.filter(name=named).first()
    if found is None and named.isascii() and named.isdigit():
        found = Strategy.objects.filter(pk=int(named)).first()
    if found is None:
        known = ", ".join(Strategy.objects.values_list("name", flat=True)[:20]) or "none"
        raise CommandError(f"there is no strategy {named!r}; known: {known}")
    return found


def _move(strategy: Strategy, wanted: Stage, given: dict[str, Any]) -> None:
    actor = given["actor"]
    if given["override"] is not None:
        gate.override(strategy.pk, wanted, reason=given["override"], actor=actor)
    elif is_promotion(Stage(strategy.stage), wanted):
        gate.promote(strategy.pk, wanted, now=timezone.now(), actor=actor)
    else:
        gate.move(strategy.pk, wanted, actor=actor, reason=given["reason"])


def _as_text(strategy: Strategy, standing: gate.Standing) -> str:
    lines = [f"{strategy}: {standing.stage}, {'on' if strategy.enabled else 'off'}"]
    if standing.next and standing.need:
        there = f"there: {standing.source}" if standing.source else "missing"
        lines.append(f"next: {standing.next}, needs evidence ({standing.need.replace('_', ' ')}), {there}")
        lines += [f"  {text}" for text in standing.why]
    return "\n".join(lines)


def _as_json(strategy: Strategy, standing: gate.Standing) -> str:
    told = {
        "strategy": strategy.name,
        "stage": standing.stage,
        "enabled": strategy.enabled,
        "next": standing.next,
        "needs": standing.need,
        "evidence": str(standing.source) if standing.source else None,
        "missing": standing.why,
    }
    return json.dumps(told, indent=2)
