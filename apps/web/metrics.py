"""Figures for Prometheus, read from the database and Redis at the moment they are asked for."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeHistogramMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from apps.journal.models import Event, Pulse
from apps.market.models import FeedStatus, Quote
from apps.trading import selectors
from apps.web import callers, redis

QUEUES = ("exits", "orders", "market", "strategies", "backtests", "reporting", "ops")
WINDOW = timedelta(minutes=5)
SAMPLE = 20_000
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
QUANTILES = (0.5, 0.95, 0.99, 1.0)


@require_safe
def scrape(request: HttpRequest) -> HttpResponse:
    """Answer the figures to the machine itself and to staff tokens, nobody else."""
    if not callers.is_trusted(request):
        return HttpResponse(
            "Figures are given to this machine itself, or with a token of a staff user.\n",
            content_type="text/plain; charset=utf-8",
            status=403,
        )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(timezone.now()))
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class Figures(Collector):
    """All figures as of one instant."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def describe(self) -> Iterable[Metric]:
        """Name nothing in advance: the figures are read when they are asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the figures; those of a server that is away are left out, and its `up` figure says so."""
        try:
            found = [*_trading(self.now), *_market(self.now), *_processes(self.now)]
        except (DatabaseError, InterfaceError):
            found = []
        yield _gauge("database_up", "1 when the database answers.", bool(found))
        yield from found
        try:
            lengths = redis.queue_lengths(QUEUES) if settings.BROKER_URL.startswith("redis") else {}
        except (redis.Away, OSError):
            yield _gauge("redis_up", "1 when Redis answers.", 0)
            return
        yield _gauge("redis_up", "1 when Redis answers.", 1)
        yield _by("queue_messages", "Messages waiting in a queue.", "queue", lengths)


def _trading(now: datetime) -> Iterator[Metric]:
    yield _by("positions_open", "Positions open.", "instrument", selectors.open_positions())
    yield _by("exits", "Exits by status.", "status", selectors.exits_by_status())
    waiting = selectors.exits_waiting()
    yield _gauge("exits_waiting", "Exits not executed yet.", waiting.exits)
    oldest = (now - waiting.oldest).total_seconds() if waiting.oldest else 0.0
    yield _gauge("exit_oldest_waiting_seconds", "Age of the oldest exit not executed yet.", max(oldest, 0.0))
    yield from _latencies(sorted(selectors.exit_latencies(since=now - WINDOW, limit=SAMPLE)))
    last = Event.objects.aggregate(last=Max("id"))["last"] or 0
    yield CounterMetricFamily("tradingsite_events", "The number of the last event in the journal.", value=last)


def _latencies(seconds: Sequence[float]) -> Iterator[Metric]:
    note = f"From tick to commit, exits of the last {WINDOW.seconds // 60} minutes, the newest {SAMPLE} at most"
    family = GaugeMetricFamily("tradingsite_exit_latency_quantile_seconds", f"{note}: quantiles.", labels=["quantile"])
    for quantile in QUANTILES if seconds else ():
        family.add_metric([str(quantile)], seconds[min(int(quantile * len(seconds)), len(seconds) - 1)])
    yield family
    counts = [(str(bound), float(sum(s <= bound for s in seconds))) for bound in BUCKETS]
    yield GaugeHistogramMetricFamily(
        "tradingsite_exit_latency_seconds",
        f"{note}: a histogram of that window.",
        buckets=[*counts, ("+Inf", float(len(seconds)))],
        gsum_value=sum(seconds),
    )


def _market(now: datetime) -> Iterator[Metric]:
    age = GaugeMetricFamily("tradingsite_quote_age_seconds", "Since the last price arrived.", labels=["instrument"])
    heard = GaugeMetricFamily("tradingsite_feed_silence_seconds", "Since the feed last spoke.", labels=["instrument"])
    for symbol, received_at, heard_at in Quote.objects.values_list("instrument__symbol", "received_at", "heard_at"):
        age.add_metric([symbol], (now - received_at).total_seconds())
        heard.add_metric([symbol], (now - max(received_at, heard_at)).total_seconds())
    yield age
    yield heard
    state = GaugeMetricFamily("tradingsite_feed_state", "1 for the state the feed is in.", labels=["feed", "state"])
    count = GaugeMetricFamily("tradingsite_feed_count", "What the feed counts.", labels=["feed", "what"])
    for feed in FeedStatus.objects.all():
        state.add_metric([feed.name, feed.state], 1)
        for what, value in _numbers(feed.counters):
            count.add_metric([feed.name, what], value)
    yield state
    yield count


def _processes(now: datetime) -> Iterator[Metric]:
    labels = ["process", "host", "pid"]
    age = GaugeMetricFamily("tradingsite_pulse_age_seconds", "Since a process's last sign of life.", labels=labels)
    fact = GaugeMetricFamily("tradingsite_process_fact", "What a process counts.", labels=[*labels, "what"])
    text = "Ticks received by a listener that lives; a standby counts the same ticks as its leader."
    ticks = CounterMetricFamily("tradingsite_ticks", text, labels=labels)
    for pulse in Pulse.objects.all():
        who = [pulse.name, pulse.host, str(pulse.pid)]
        age.add_metric(who, (now - pulse.beat_at).total_seconds())
        for what, value in _numbers(pulse.facts):
            if what == "ticks":
                ticks.add_metric(who, value)
            else:
                fact.add_metric([*who, what], value)
    yield age
    yield fact
    yield ticks


def _numbers(facts: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in facts.items():
        if isinstance(value, int | float):
            yield name, float(value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"tradingsite_{name}", text, value=float(value))


def _by(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(f"tradingsite_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
