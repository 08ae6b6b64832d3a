"""Reading runs: the newest, one with its trades, and an earlier one that already knows the answer."""

from datetime import datetime

from django.db.models import Q, QuerySet

from apps.backtests import plain
from apps.backtests.models import Run
from apps.domain.backtests.result import Trades
from apps.domain.strategies.contract import Floats

HEAVY = ("trades", "equity")  # columns of megabytes that a list of runs does not show


def runs() -> QuerySet[Run]:
    """Return the runs, newest first, without their trades and curves."""
    return Run.objects.defer(*HEAVY)


def with_key(key: str) -> Run | None:
    """Return a finished run of the same code, parameters, conventions, candles and seed."""
    return Run.objects.filter(key=key, state=Run.State.DONE).order_by("id").first() if key else None


def waiting(now: datetime, *, silent_since: datetime) -> list[int]:
    """Return the runs that nobody computes: those that wait, and those whose worker has been silent since then."""
    silent = Q(state=Run.State.RUNNING) & Q(beat_at__lt=silent_since)
    waits = Q(state=Run.State.QUEUED, made_at__lte=now)
    return list(Run.objects.filter(silent | waits).order_by("id").values_list("id", flat=True))


def trades(run: Run) -> Trades:
    """Return the closed trades of a finished run as arrays. Raises ValueError for one that has none yet."""
    return plain.unpacked_trades(_content(run, run.trades))


def equity(run: Run) -> tuple[Floats, Floats]:
    """Return the time of each bar in seconds since 1970 and the equity after it. Raises ValueError as `trades`."""
    arrays = plain.unpacked(_content(run, run.equity))
    return arrays["at"], arrays["value"]


def _content(run: Run, content: bytes | memoryview | None) -> bytes:
    if content is None:
        raise ValueError(f"run {run.pk} is {run.state} and has no result")
    return bytes(content)
