"""Strategies: their stage, who follows them, what they said last."""

from collections import defaultdict
from typing import Any, Final

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse

from apps.domain.backtests.gate import FOLLOWED, LADDER, Stage
from apps.market.models import Instrument
from apps.strategies.models import Signal, Strategy
from apps.trading import selectors
from apps.trading.models import Allocation
from apps.web.desk import doors

MOST: Final = 100
SIGNALS: Final = 3  # shown of each strategy
LOOKED_AT: Final = 400  # of the newest signals
CHANGE: Final = "strategies.change_strategy"
STANCES: Final = {1: "▲ long", 0: "■ flat", -1: "▼ short"}


@doors.page
def show(request: HttpRequest) -> HttpResponse:
    """Show every strategy to who may look at them all; others see those their accounts follow."""
    own = Allocation.objects.filter(account__in=selectors.for_user(request.user)).select_related("account")
    watched = Prefetch("instruments", Instrument.objects.order_by("symbol"))
    rows = Strategy.objects.order_by("name").prefetch_related(watched, Prefetch("allocations", own))
    if not request.user.has_perm("strategies.view_strategy") and not request.user.has_perm(CHANGE):
        rows = rows.filter(pk__in=own.values("strategy_id"))
    found = list(rows[:MOST])
    signals = _signals([row.pk for row in found])
    context = {
        "title": "Strategies",
        "rows": [(row, signals[row.pk], _standing(row)) for row in found],
        "may_switch": request.user.has_perm(CHANGE),
        "stances": STANCES,
        "ladder": LADDER,
    }
    return doors.show(request, "strategies", context)


def _signals(keys: list[int]) -> dict[int, list[tuple[Signal, str]]]:
    """Return the last signals of each strategy with their stance in words, from the newest there are."""
    found: dict[int, list[tuple[Signal, str]]] = defaultdict(list)
    rows = Signal.objects.filter(strategy_id__in=keys).select_related("instrument").order_by("-id")[:LOOKED_AT]
    for row in rows:
        if len(found[row.strategy_id]) < SIGNALS:
            found[row.strategy_id].append((row, STANCES[row.stance]))
    return found


def _standing(row: Strategy) -> dict[str, Any]:
    """Say whether a strategy trades, and what the switch would do."""
    stage = Stage(row.stage)
    runs = row.enabled and stage in FOLLOWED
    if runs:
        return {"word": "running", "tone": "good", "switch": "Pause"}
    if stage == Stage.PAUSED and row.paused_from:
        return {"word": "paused", "tone": "warn", "switch": f"Resume on {row.paused_from}"}
    if stage in FOLLOWED:
        return {"word": "switched off", "tone": "idle", "switch": ""}
    return {"word": "not trading yet" if stage != Stage.RETIRED else "retired", "tone": "idle", "switch": ""}
