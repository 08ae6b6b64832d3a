"""Writing down how a listener's feed is doing."""

from datetime import UTC, datetime
from typing import Any

from apps.market.feeds.base import FeedState
from apps.market.models import FeedStatus


def write_status(name: str, state: FeedState, counters: dict[str, Any], *, now: datetime) -> None:
    """Write down how a feed is doing, for screens and alerts."""
    since = datetime.fromtimestamp(state.at_ns / 1e9, UTC) if state.at_ns else now
    FeedStatus.objects.update_or_create(
        name=name,
        defaults={
            "state": str(state.status),
            "reason": state.reason[:300],
            "since": since,
            "session": state.session,
            "counters": counters,
        },
    )
