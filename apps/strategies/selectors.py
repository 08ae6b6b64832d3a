"""Reading strategies: which are to be asked for a bar, and how often one has failed lately."""

from collections.abc import Iterable
from datetime import datetime

from apps.journal.models import Event
from apps.strategies.models import Signal, Strategy

FAILED, DISABLED = "strategy.failed", "strategy.disabled"


def enabled() -> list[Strategy]:
    """Return the strategies that are switched on."""
    return list(Strategy.objects.filter(enabled=True))


def instruments(strategy: Strategy) -> list[int]:
    """Return the instruments a strategy watches, those that are switched off left out."""
    return list(strategy.instruments.filter(enabled=True).order_by("pk").values_list("pk", flat=True))


def without_signal(strategy: Strategy, bar_at: datetime, instrument_ids: Iterable[int]) -> list[int]:
    """Return the instruments that the strategy was not asked about for this bar."""
    done = set(Signal.objects.filter(strategy=strategy, bar_at=bar_at).values_list("instrument_id", flat=True))
    return [instrument_id for instrument_id in instrument_ids if instrument_id not in done]


def failed_bars(strategy: Strategy) -> list[str]:
    """Return the bars, newest first, at which the strategy failed since it last gave a signal or was disabled."""
    events = Event.objects.filter(subject=subject(strategy))
    since = events.filter(kind=DISABLED).order_by("-id").values_list("id", flat=True).first() or 0
    failures = events.filter(kind=FAILED, id__gt=since)
    signal = Signal.objects.filter(strategy=strategy).order_by("-id").first()
    if signal is not None:
        failures = failures.filter(at__gt=signal.made_at)
    return list(failures.order_by("-id").values_list("payload__bar_at", flat=True)[:100])


def subject(strategy: Strategy) -> str:
    """Name a strategy as events do."""
    return f"strategy:{strategy.pk}"
