"""Every row lock of the product.

Order of tables: account, position, exit leg, exit. Rows of one table in order of their primary key. Only the position
is locked to leave it: its legs and exits change under its lock alone. Functions return lists, never lazy querysets:
an unevaluated lock locks nothing.
"""

from collections.abc import Sequence

from django.db.models import QuerySet

from apps.domain.states import ExitStatus
from apps.trading.models import Account, Exit, Position


def account(account_id: int) -> Account:
    """Lock the account whose money is about to be used up."""
    return Account.objects.select_for_update(no_key=True).get(pk=account_id)


def position(position_id: int) -> Position:
    """Lock one position, waiting for whoever holds it."""
    rows = Position.objects.select_for_update(of=("self",), no_key=True).select_related("instrument", "account")
    return rows.get(pk=position_id)


def positions_to_leave(limit: int, columns: Sequence[str]) -> list[tuple[object, ...]]:
    """Lock positions that have exits waiting, skipping those another worker holds; return the columns asked for.

    A position may come back although its exits were executed in the meantime: read the exits after this.
    """
    due = _waiting().order_by("id").values("position_id")[: limit * 2]
    rows = Position.objects.select_for_update(skip_locked=True, of=("self",), no_key=True)
    return list(rows.filter(pk__in=due).order_by("pk").values_list(*columns)[:limit])


def position_to_leave(position_id: int, limit: int, columns: Sequence[str]) -> list[tuple[object, ...]]:
    """Lock one position that has exits waiting, unless another worker holds it."""
    rows = Position.objects.select_for_update(skip_locked=True, of=("self",), no_key=True)
    return list(rows.filter(pk=position_id).values_list(*columns)[:limit])


def positions_waiting(limit: int) -> list[int]:
    """Return the positions whose exits have waited longest, without locking them."""
    return list(dict.fromkeys(_waiting().order_by("id").values_list("position_id", flat=True)[: limit * 2]))


def _waiting() -> QuerySet[Exit]:
    return Exit.objects.filter(status=ExitStatus.TRIGGERED)
