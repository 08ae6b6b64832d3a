"""Reading strategies: which are to be asked for a bar, and by which evidence they came where they are."""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Q

from apps.domain.backtests.gate import FOLLOWED
from apps.strategies.models import Signal, Strategy


def asked(now: datetime) -> list[Strategy]:
    """Return the strategies that are asked for signals: switched on, paper or live, and nobody waits for an answer.

    Those that failed lately come last, so that the others need not wait for them.
    """
    free = Q(busy_until__isnull=True) | Q(busy_until__lte=now)
    rows = Strategy.objects.filter(free, enabled=True, stage__in=FOLLOWED)
    return list(rows.order_by("failures", "pk"))


def instruments(strategy: Strategy) -> list[int]:
    """Return the instruments a strategy watches, those that are switched off left out."""
    return list(strategy.instruments.filter(enabled=True).order_by("pk").values_list("pk", flat=True))


def without_signal(strategy: Strategy, bar_at: datetime, instrument_ids: Iterable[int]) -> list[int]:
    """Return the instruments that the strategy was not asked about for this bar."""
    done = set(Signal.objects.filter(strategy=strategy, bar_at=bar_at).values_list("instrument_id", flat=True))
    return [instrument_id for instrument_id in instrument_ids if instrument_id not in done]


def subject(strategy_id: int) -> str:
    """Name a strategy as events do."""
    return f"strategy:{strategy_id}"
