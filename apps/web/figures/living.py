"""Figures of feeds, processes, leaders, tasks, queues, messages and kept lines: is everything alive, and how fast?"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import psutil
from django.conf import settings
from django.db.models import Count, Max, Min
from prometheus_client.core import Metric

from apps.journal import canaries
from apps.journal.figures import Figure, Labels, by, one
from apps.journal.models import Canary, Lease, LogLine, Pulse, TaskTally
from apps.journal.tallies import BUCKETS
from apps.market.models import FeedStatus, Quote
from apps.reporting.models import Delivery, DeliveryStatus
from apps.trading.services import measuring
from apps.web.figures.families import counter, fill, histogram
from apps.web.figures.trading import numbers

FORGOTTEN: Final = timedelta(minutes=15)  # a process that has been silent for longer was taken away on purpose
NEWEST: Final = 10_000  # deliveries among which dead ones are looked for


def figures(now: datetime) -> Iterator[Figure]:
    """Yield the figures that are gauges."""
    yield from _feeds(now)
    yield from _processes(now)
    yield from _queues(now)
    yield from _deliveries(now)
    lines = LogLine.objects.filter(at__gte=now - timedelta(minutes=5)).values_list("level").annotate(Count("id"))
    yield by("log_lines", "Lines of warnings and worse kept in five minutes.", "level", dict(lines.order_by("level")))


def families(now: datetime) -> Iterator[Metric]:
    """Yield what is no gauge: ticks, and how tasks ran and waited."""
    ticks = [
        ((pulse.name, pulse.host, str(pulse.pid)), float(pulse.facts["ticks"]))
        for pulse in Pulse.objects.filter(beat_at__gte=now - FORGOTTEN)
        if isinstance(pulse.facts.get("ticks"), int | float)
    ]
    text = "Ticks received by a listener that lives; a standby counts the same ticks as its leader."
    yield counter("ticks", text, ["process", "host", "pid"], ticks)
    rows = list(TaskTally.objects.all())
    text = "Tasks that ended, by how, since the site was made."
    ended = [((row.task, row.queue, how), getattr(row, how)) for row in rows for how in ("done", "failed")]
    yield counter("tasks", text, ["task", "queue", "outcome"], ended)
    labels = ["task", "queue"]
    ran = histogram("task_run_seconds", "How long tasks run.", labels)
    waited = histogram("task_wait_seconds", "How long tasks wait between being sent and running.", labels)
    for row in rows:
        fill(ran, (row.task, row.queue), BUCKETS, row.runs, row.ran.total_seconds())
        fill(waited, (row.task, row.queue), BUCKETS, row.waits, row.waited.total_seconds())
    yield ran
    yield waited


def past(now: datetime, at: datetime) -> float:
    """Return the seconds since an instant; what happened while the figures were read is not in the future."""
    return max((now - at).total_seconds(), 0.0)


def _feeds(now: datetime) -> Iterator[Figure]:
    rows = list(Quote.objects.values_list("instrument__symbol", "received_at", "heard_at"))
    ages = {symbol: past(now, received) for symbol, received, _ in rows}
    yield by("quote_age_seconds", "Since the last price arrived.", "instrument", ages)
    silence = {symbol: past(now, max(received, heard)) for symbol, received, heard in rows}
    yield by("feed_silence_seconds", "Since the feed last spoke.", "instrument", silence)
    feeds = list(FeedStatus.objects.all())
    states: dict[Labels, float] = {(("feed", feed.name), ("state", feed.state)): 1.0 for feed in feeds}
    yield Figure("feed_state", "1 for the state the feed is in.", states)
    counts: dict[Labels, float] = {
        (("feed", feed.name), ("what", what)): value for feed in feeds for what, value in numbers(feed.counters)
    }
    yield Figure("feed_count", "What the feed counts.", counts)


def _processes(now: datetime) -> Iterator[Figure]:
    pulses = list(Pulse.objects.filter(beat_at__gte=now - FORGOTTEN))
    named: dict[Labels, Pulse] = {
        (("process", each.name), ("host", each.host), ("pid", str(each.pid))): each for each in pulses
    }
    ages = {labels: past(now, each.beat_at) for labels, each in named.items()}
    yield Figure("pulse_age_seconds", "Since a process's last sign of life.", ages)
    facts: dict[Labels, float] = {
        (*labels, ("what", what)): value
        for labels, each in named.items()
        for what, value in numbers(each.facts)
        if what != "ticks"
    }
    yield Figure("process_fact", "What a process counts.", facts)
    sizes = {labels: size for labels, each in named.items() if (size := _memory(each)) is not None}
    yield Figure("process_memory_bytes", "Memory of a process of this machine and its children.", sizes)
    leases = list(Lease.objects.values_list("name", "renewed_at", "epoch"))
    renewed = {name: past(now, at) for name, at, _ in leases if at is not None}
    yield by("lease_age_seconds", "Since the leader of a role last said that it leads.", "role", renewed)
    yield by("lease_epoch", "How often the leader of a role has changed.", "role", {n: e for n, _, e in leases})
    last = measuring.last_at()
    looked: dict[Labels, float] = {} if last is None else {(): past(now, last)}
    yield Figure("risk_look_age_seconds", "Since the account that was looked at longest ago was.", looked)


def _memory(pulse: Pulse) -> float | None:
    """Return the bytes a process and its children hold; None when it is elsewhere, gone, or another one by now."""
    if pulse.host != settings.HOST_NAME:
        return None
    try:
        process = psutil.Process(pulse.pid)
        if process.create_time() > pulse.started_at.timestamp() + 1:
            return None
        family = [process, *process.children(recursive=True)]
        return float(sum(each.memory_info().rss for each in family))
    except psutil.Error:
        return None


def _queues(now: datetime) -> Iterator[Figure]:
    rows = list(Canary.objects.all())
    ages = {row.queue: canaries.age(row, now).total_seconds() for row in rows}
    yield by("canary_age_seconds", "Since a canary last came through a queue.", "queue", ages)
    trips = {row.queue: row.took.total_seconds() for row in rows if row.took is not None}
    yield by("canary_seconds", "How long the last canary waited in a queue.", "queue", trips)


def _deliveries(now: datetime) -> Iterator[Figure]:
    under_way = (DeliveryStatus.WAITING, DeliveryStatus.SENDING, DeliveryStatus.HELD)
    rows = Delivery.objects.filter(status__in=under_way).values_list("status").annotate(Count("id"), Min("due_at"))
    found = list(rows.order_by("status"))
    newest = Delivery.objects.aggregate(newest=Max("id"))["newest"] or 0
    recent = Delivery.objects.filter(id__gt=newest - NEWEST, due_at__gte=now - timedelta(days=1))
    dead = recent.filter(status=DeliveryStatus.DEAD).count()
    counts = {str(status): count for status, count, _ in found} | {"dead": dead}
    text = "Messages under way, and those given up within a day."
    yield by("deliveries", text, "status", counts)
    due = [at for status, _, at in found if status == DeliveryStatus.WAITING]
    late = max((past(now, at) for at in due), default=0.0)
    yield one("delivery_oldest_due_seconds", "How long the oldest message has been due.", late)
