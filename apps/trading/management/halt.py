"""What `manage.py halt` and `manage.py resume` share: which scope is meant, and how a refusal is said."""

import getpass
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from apps.domain.errors import Refused
from apps.domain.restrictions import Scope, TradingState
from apps.market.models import Instrument
from apps.strategies.models import Strategy
from apps.trading.models import Restriction
from apps.trading.services import restrictions


def add_scope(parser: CommandParser) -> None:
    """Declare whom a command is about: the whole site, or one account, strategy or instrument."""
    scope = parser.add_mutually_exclusive_group()
    scope.add_argument("--account", type=int, metavar="ID", help="only this account")
    scope.add_argument("--strategy", metavar="NAME", help="only what this strategy asks for")
    scope.add_argument("--instrument", metavar="SYMBOL", help="only this instrument, in every account")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, in one line; it stays in the journal")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def carry_out(command: BaseCommand, options: dict[str, Any], state: TradingState, *, flatten: bool = False) -> None:
    """Set the state, say what came of it. Raises CommandError with one clear line."""
    try:
        scope, target = _scope(options)
        wanted = restrictions.Order(
            state=state,
            scope=scope,
            target=target,
            reason=options["reason"],
            actor=f"{getpass.getuser()} (command line)",
            source="command",
            flatten=flatten,
        )
        asked = restrictions.order(wanted, now=timezone.now())
    except Refused as refused:
        raise CommandError(str(refused)) from refused
    except (OperationalError, InterfaceError) as error:
        raise CommandError(f"The database does not answer: {str(error).strip().splitlines()[0]}") from error
    if options["json"]:
        facts = {"scope": str(scope), "target": target, "state": str(state), "exits": asked}
        command.stdout.write(json.dumps(facts))
        return
    what = "The site" if scope is Scope.SITE else f"{scope.capitalize()} #{target}"
    left = f" {asked} positions are being left." if flatten else ""
    command.stdout.write(f"{what} is {state}.{left}{_others()}")


def _scope(options: dict[str, Any]) -> tuple[Scope, int]:
    if options["account"] is not None:
        return Scope.ACCOUNT, options["account"]
    if options["strategy"] is not None:
        return Scope.STRATEGY, _key(Strategy.objects.filter(name=options["strategy"]), "strategy", options["strategy"])
    if options["instrument"] is not None:
        symbol = options["instrument"]
        return Scope.INSTRUMENT, _key(Instrument.objects.filter(symbol=symbol), "instrument", symbol)
    return Scope.SITE, 0


def _key(rows: Any, word: str, name: str) -> int:
    found = rows.values_list("pk", flat=True).first()
    if found is None:
        raise CommandError(f"There is no {word} called {name!r}; nothing was changed.")
    return int(found)


def _others() -> str:
    rows = list(Restriction.objects.all())
    return f" In force: {'; '.join(map(str, rows))}." if rows else " Nothing is restricted any more."
