"""What may be forgotten: rows that only said something for a moment. Money rows and events stay."""

from datetime import datetime, timedelta
from typing import Final

from apps.journal import pulses
from apps.trading.models import LevelChange

CHANGES_KEPT: Final = timedelta(hours=1)  # listeners read them within milliseconds; one that was away reads everything
PULSES_KEPT: Final = timedelta(days=1)


def prune(now: datetime) -> dict[str, int]:
    """Delete old level changes and the pulses of processes long gone; return how many of each."""
    changes, _ = LevelChange.objects.filter(at__lt=now - CHANGES_KEPT).delete()
    return {"level_changes": changes, "pulses": pulses.prune(before=now - PULSES_KEPT)}
