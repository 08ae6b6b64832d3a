"""Writing down how a listener's feed is doing."""

from datetime import UTC, datetime
from typing import Any

from apps.journal import services as journal
from apps.market.feeds.base import FeedState
from apps.market.feeds.switch import Switched
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


def record_switch(switched: Switched) -> None:
    """Write down that an instrument's prices come from another source from now on, and why."""
    journal.record(
        "feed.switched",
        f"instrument:{switched.instrument}",
        payload={
            "instrument": switched.instrument,
            "from": switched.from_feed,
            "to": switched.to_feed,
            "why": switched.why,
        },
    )
