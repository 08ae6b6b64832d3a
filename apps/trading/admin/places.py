"""Where a limit or a restriction applies: offered and shown by name, never by number."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Protocol

from django.db.models import Model, QuerySet

from apps.domain.restrictions import Scope
from apps.market.models import Instrument
from apps.strategies.models import Strategy
from apps.trading import selectors
from apps.trading.models import Account

MOST = 500  # of each kind offered in a list
SITE = "site:0"
WHOLE = "the whole site"


class Placed(Protocol):
    """A row that says where it applies."""

    scope: str
    target: int


def choices(user: selectors.Caller) -> list[tuple[str, str]]:
    """Offer the site, the accounts a person may see, and every strategy and instrument."""
    found = [(SITE, "the whole site, each account for itself")]
    for scope, rows in _rows(user).items():
        found += [(f"{scope}:{row.pk}", f"{scope} {row}") for row in rows.order_by("pk")[:MOST]]
    return found


def read(chosen: str) -> tuple[Scope, int]:
    """Return what a choice stands for."""
    scope, _, target = chosen.partition(":")
    return Scope(scope), int(target)


def key(row: Placed) -> str:
    """Return the choice that stands for where a row applies."""
    return f"{row.scope}:{row.target}"


def name_all(rows: Iterable[Any]) -> None:
    """Give rows the name of where they apply, in one query per scope."""
    rows, wanted = list(rows), defaultdict(set)
    for row in rows:
        wanted[Scope(row.scope)].add(row.target)
    names = {
        (scope, one.pk): f"{scope} {one}"
        for scope, model in _MODELS.items()
        if wanted[scope]
        for one in model._default_manager.filter(pk__in=wanted[scope])
    }
    for row in rows:
        row.place = names.get((Scope(row.scope), row.target), _unnamed(row))


def name(row: Any) -> str:
    """Return the name of where a row applies."""
    if not hasattr(row, "place"):
        name_all([row])
    return str(row.place)


_MODELS: dict[Scope, type[Model]] = {Scope.ACCOUNT: Account, Scope.STRATEGY: Strategy, Scope.INSTRUMENT: Instrument}


def _unnamed(row: Placed) -> str:
    return WHOLE if row.scope == Scope.SITE else f"{row.scope} #{row.target}, which is gone"


def _rows(user: selectors.Caller) -> dict[Scope, QuerySet[Any]]:
    return {
        Scope.ACCOUNT: selectors.for_user(user),
        Scope.STRATEGY: Strategy.objects.all(),
        Scope.INSTRUMENT: Instrument.objects.all(),
    }
