"""What a replay amounted to: its closes, one line each, and its figures."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from apps.domain import numbers
from apps.domain.states import ExitStatus, PositionStatus
from apps.market.feeds.counters import FeedCounters
from apps.ops import invariants, tally
from apps.trading.models import Exit, Position
from workers.replay.recording import Survey

HEADER: Final = "position,leg,trade_id,price\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One replay: what went in, when it began, and how long the messages took."""

    file: Path
    seed: int
    survey: Survey
    counters: FeedCounters
    started_at: datetime
    seconds: float


def closes(since: datetime) -> str:
    """Return every executed exit as CSV, by position and trade: the same for the same file and seed."""
    rows = Exit.objects.filter(status=ExitStatus.DONE, closed_at__gte=since)
    found = rows.order_by("position_id", "trade_id", "leg_id").values_list(
        "position_id", "reason", "trade_id", "fill_price"
    )
    lines = (
        f"{position},{reason},{trade or ''},{numbers.plain(price)}\n"
        for position, reason, trade, price in found
        if price is not None
    )
    return HEADER + "".join(lines)


def figures(run: Run) -> dict[str, Any]:
    """Return the figures of a replay; `ok` says that no invariant is broken."""
    text = closes(run.started_at)
    findings = invariants.check(bound="0 seconds")
    counted = run.counters
    return {
        "file": str(run.file),
        "seed": run.seed,
        "products": sorted(run.survey.listings),
        "ticks": counted.received,
        "accepted": counted.accepted,
        "refused": {
            "garbage": counted.garbage,
            "duplicates": counted.duplicates,
            "out_of_order": counted.out_of_order,
            "snapshots": counted.snapshots,
            "unknown_product": counted.unknown_product,
            **counted.rejected,
        },
        "seconds": round(run.seconds, 3),
        "ticks_per_second": round(counted.received / max(run.seconds, 1e-6)),
        "positions": Position.objects.count(),
        "open": Position.objects.exclude(status=PositionStatus.CLOSED).count(),
        "closes": Position.objects.filter(closed_at__gte=run.started_at).count(),
        "exits": text.count("\n") - 1,
        "exits_by_reason": dict(sorted(Counter(line.split(",")[1] for line in text.splitlines()[1:]).items())),
        "closes_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "tick_to_close_ms": tally.latency(run.started_at),
        "invariants": {finding.id: finding.violations for finding in findings},
        "ok": not any(finding.violations for finding in findings),
    }


def as_text(found: dict[str, Any]) -> str:
    """Return figures as lines for a person."""
    lines = []
    for name, value in found.items():
        shown = ", ".join(f"{key} {item}" for key, item in value.items() if item) if isinstance(value, dict) else value
        if isinstance(value, list):
            shown = ", ".join(map(str, value))
        lines.append(f"{name.replace('_', ' '):18} {shown if shown != '' else 'none'}")
    return "\n".join(lines)
