"""Every alert fires when its fault is there, and none does while all is well.

Most faults are caused as rows and signs of life: that the real fault leaves these was proven where it belongs
(tests/faults, tests/workers, tests/trading). A few are told to the figures; why stands at TOLD.
"""

import math
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connections
from django.db.models import F
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from apps.domain.legs import ExitReason
from apps.journal import measures, tallies
from apps.journal.models import Canary, Lease, LogLine, Pulse
from apps.market.models import FeedStatus, Quote
from apps.ops.backups.models import BackupRun
from apps.ops.jobs.models import Job, JobRun, State
from apps.reporting.models import Delivery
from apps.trading import keyfile
from apps.trading.models import Discrepancy, Exit, Order, Restriction, RiskMetric, Standing, Violation
from tests import factories
from tests.ops import promql
from tests.ops.alerting import RULES, SCRAPED, Rule, World, fires, rules, scrape, unreachable
from tests.ops.promql import Scrape
from tests.reporting import world as messages

Fault = Callable[[World], object]
PREFIX = "tradingsite:"
# Caused by a value in the scrape: the real fault would take the machine, or the server all tests share, with it.
TOLD = {
    "DatabaseConnectionsFew": ("tradingsite_database_connections", lambda old: 1e6),
    "TransactionLong": ("tradingsite_database_longest_transaction_seconds", lambda old: 301.0),
    "LocksWaiting": ("tradingsite_database_locks_waiting", lambda old: 11.0),
    "MemoryGrows": ("tradingsite_process_memory_bytes", lambda old: 4e9),
    "RedisUnsafe": ("tradingsite_redis_safe", lambda old: 0.0),
}


def facts(process: str, **changed: Any) -> Fault:
    def act(world: World) -> None:
        pulse = Pulse.objects.get(name=process)
        pulse.facts |= changed
        pulse.save()

    return act


def lease(role: str) -> Fault:
    return lambda world: Lease.objects.filter(name=role).update(renewed_at=world.ago(seconds=30))


def silent(process: str) -> Fault:
    return lambda world: Pulse.objects.filter(name=process).update(beat_at=world.ago(seconds=40))


def an_exit(world: World) -> Exit:
    position = factories.opened(world.account, world.instrument, factories.stop("95"))
    factories.record([factories.crossing(factories.leg_of(position, "stop_loss"), "94")])
    return Exit.objects.get(position=position)


def waiting(world: World) -> None:
    Exit.objects.filter(pk=an_exit(world).pk).update(recorded_at=world.ago(seconds=8))


def failed(world: World) -> None:
    Exit.objects.filter(pk=an_exit(world).pk).update(status="failed")


def slow(world: World) -> None:
    found = an_exit(world)
    factories.drain()
    assert found.reason != ExitReason.TIME_STOP
    Exit.objects.filter(pk=found.pk).update(tick_at=F("tick_at") - timedelta(seconds=9))


def orders(count: int = 1, **more: Any) -> Fault:
    def act(world: World) -> None:
        for number in range(count):
            values = {
                "buy": True,
                "kind": "market",
                "quantity": Decimal(1),
                "client_id": f"{more['status']}-{number}",
                **more,
            }
            values |= {name: value(world) for name, value in more.items() if callable(value)}
            Order.objects.create(account=world.account, instrument=world.instrument, purpose="entry", **values)

    return act


def standing(world: World) -> None:
    Standing.objects.create(account=world.account, trouble="the venue is silent")


def differing(world: World) -> None:
    Discrepancy.objects.create(account=world.account, kind="position", subject="BTC-USD", ours="1", theirs="2")


def breach(world: World) -> None:
    words = {"number": "2", "bound": "1", "formula": "n <= bound", "sentence": "Too many.", "action": "refuse"}
    seen = {"began_at": world.at, "seen_at": world.at}
    Violation.objects.create(account=world.account, rule="max_open_positions", scope="account", **words, **seen)


def near(world: World) -> None:
    labels = f'account="{world.account.pk}",rule="max_daily_loss"'
    measures.store([measures.Sample("tradingsite_risk_used_ratio", labels, 0.95)], world.at)


def halted(world: World) -> None:
    Restriction.objects.create(scope="site", state="halted", reason="a test", actor="me", since=world.at)


def a_job(world: World) -> Job:
    return Job.objects.create(name="a job", task="ops.prune", rule="at 02:00 UTC")


def job_failed(world: World) -> None:
    times = {"slot": world.at, "due_at": world.at, "ended_at": world.at}
    JobRun.objects.create(job=a_job(world), state=State.FAILED, error="it did not work", **times)


def job_waits(world: World) -> None:
    JobRun.objects.create(job=a_job(world), slot=world.ago(minutes=9), due_at=world.ago(minutes=9))


def message(status: str) -> Fault:
    def act(world: World) -> None:
        channel = messages.webhook(world.account.owner, "https://192.0.2.1")
        route = messages.route(channel, world.account.owner)
        at = world.ago(minutes=9)
        values = {"kind": "exit.failed", "subject": "exit:1", "severity": "critical", "title": "t", "status": status}
        Delivery.objects.create(route=route, channel=channel, happened_at=at, due_at=at, **values)

    return act


def tally(**more: Any) -> Fault:
    values: dict[str, Any] = {"task": "market.roll_up", "queue": "market", "done": 0, "failed": 0, "run_seconds": 0.0}
    none = [0] * (len(tallies.BUCKETS) + 1)
    values |= {"runs": none, "wait_seconds": 0.0, "waits": none, **more}
    return lambda world: tallies.add([tallies.Counted(**values)])


def errors_logged(world: World) -> None:
    where = {"logger": "apps", "process": "web", "host": "here", "pid": 1}
    LogLine.objects.bulk_create(LogLine(at=world.at, level="ERROR", message="no", **where) for _ in range(11))


def queued(key: str, count: int) -> Fault:
    def act(world: World) -> None:
        with closing(redis.Redis.from_url(settings.REDIS_URL)) as client:
            client.lpush(f"{PREFIX}{key}", *["{}"] * count)

    return act


def no_redis(world: World) -> None:
    world.settings.REDIS_URL = f"redis://127.0.0.1:{_free_port()}/0"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


FAULTS: dict[str, Fault] = {
    "ExitsWaiting": waiting,
    "ExitFailed": failed,
    "ExitsSlow": slow,
    "ListenerAway": lease("listener:0"),
    "SweeperAway": lease("sweeper"),
    "ExitWorkersAway": silent("worker:exits"),
    "ExitsFoundBySweeper": facts("sweeper", found=1),
    "FeedSilent": lambda world: Quote.objects.update(received_at=world.ago(seconds=20), heard_at=world.ago(seconds=20)),
    "FeedNotLive": lambda world: FeedStatus.objects.update(state="down"),
    "TradesLost": facts("listener:0", trades_lost=2),
    "TicksDropped": facts("listener:0", ticks_dropped=5),
    "LevelsLate": facts("listener:0", level_age_ms=2500),
    "OrderUnknown": orders(status="unknown", sent_at=lambda world: world.ago(seconds=40)),
    "OrdersNotSent": orders(status="new", created_at=lambda world: world.ago(seconds=40)),
    "OrdersRejected": orders(6, status="rejected", ended_at=lambda world: world.at),
    "DiscrepanciesOpen": differing,
    "AccountDoubted": standing,
    "LimitBroken": breach,
    "LimitNear": near,
    "RiskNotWatched": lambda world: RiskMetric.objects.update(measured_at=world.ago(seconds=70)),
    "TradingStopped": halted,
    "CanaryLate": lambda world: Canary.objects.filter(queue="orders").update(
        sent_at=world.at, answered_at=world.ago(seconds=70), since=world.ago(seconds=65)
    ),
    "QueueLong": queued("ops", 201),
    "TasksWait": tally(done=20, wait_seconds=400.0, waits=[0, 0, 0, 0, 0, 0, 0, 20, 0, 0]),
    "TasksFail": tally(failed=4),
    "BeatAway": lease("beat"),
    "ProcessSilent": silent("worker:orders"),
    "JobsFail": job_failed,
    "JobsWait": job_waits,
    "MessagesStuck": message("waiting"),
    "MessagesGivenUp": message("dead"),
    "ErrorsLogged": errors_logged,
    "PagesFail": facts("web", errors=6),
    "RedisAway": no_redis,
    "GarbageQueued": queued("quarantine", 1),
    "BackupOld": lambda world: BackupRun.objects.filter(kind="backup").update(started_at=world.ago(days=2)),
    "BackupFailed": lambda world: BackupRun.objects.create(
        kind="drill", status="failed", started_at=world.at + timedelta(seconds=1), ended_at=world.at
    ),
}
BY_NAME = {rule.name: rule for rule in rules()}


@pytest.fixture
def world(db: None, settings: Settings, tmp_path: Path) -> Iterator[World]:
    """The site that is well; whatever a fault leaves in Redis is taken away."""
    address, settings.KEY_FILE = settings.REDIS_URL, tmp_path / "keys" / "broker_keys"
    keyfile.create(settings.KEY_FILE)
    tally()(made := World(settings))
    yield made
    with closing(redis.Redis.from_url(address)) as client:
        client.delete(f"{PREFIX}ops", f"{PREFIX}quarantine")


def told(found: Scrape, name: str, change: Callable[[float], float]) -> Scrape:
    """Return a scrape in which a metric says something else."""
    assert found.samples[name]
    return found._replace(samples={**found.samples, name: {k: change(v) for k, v in found.samples[name].items()}})


def without_database(work: Callable[[], Any]) -> Any:
    """Run in a thread whose database connection leads to a port where nobody listens."""

    def run() -> Any:
        link = connections["default"]
        link.settings_dict = {**link.settings_dict, "HOST": "127.0.0.1", "PORT": "1"}
        try:
            return work()
        finally:
            link.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def test_there_is_a_fault_for_every_alert() -> None:
    caused = FAULTS.keys() | TOLD.keys() | {"SiteAway", "DatabaseAway", "ClocksApart"}
    assert caused == BY_NAME.keys()
    assert len(rules()) == len(BY_NAME)


def test_nothing_fires_while_all_is_well(world: World) -> None:
    calm = [scrape(world.at), scrape(world.at)]
    assert [rule.name for rule in rules() if fires(rule, calm)] == []


@pytest.mark.parametrize("name", FAULTS)
def test_an_alert_fires_on_its_fault(world: World, name: str) -> None:
    rule, before = BY_NAME[name], scrape(world.at)
    assert not fires(rule, [before, before])
    FAULTS[name](world)
    after = scrape(world.at + timedelta(seconds=10))
    assert fires(rule, [before, after])


def test_alerts_on_servers_fire_on_what_they_say(world: World) -> None:
    calm = scrape(world.at)
    for name, (metric, change) in TOLD.items():
        assert not fires(BY_NAME[name], [calm]), name
        assert fires(BY_NAME[name], [calm, told(calm, metric, change)]), name


def test_a_site_that_does_not_answer_fires_one_alert(world: World) -> None:
    gone = unreachable(world.at)
    assert [rule.name for rule in rules() if fires(rule, [gone])] == ["SiteAway"]


def test_a_database_that_is_away_fires_one_alert(world: World) -> None:
    calm = scrape(world.at)
    away = without_database(lambda: scrape(world.at + timedelta(seconds=10)))
    assert [rule.name for rule in rules() if fires(rule, [calm, away])] == ["DatabaseAway"]


def test_clocks_that_differ_fire_an_alert(world: World) -> None:
    rule = BY_NAME["ClocksApart"]
    assert fires(rule, [scrape(world.at + timedelta(hours=1))])


# --- what the expressions name, and when they fire --------------------------------------------------------------------
def scraped(text: str) -> set[str]:
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


def test_every_metric_that_an_alert_names_exists(world: World) -> None:
    others = {"RedisAway", "JobsWait", "MessagesGivenUp", "TradingStopped"}  # rows of others are enough
    for fault in (*(FAULTS[name] for name in FAULTS if name not in others), halted):
        fault(world)
    known = scraped(Client().get("/metrics").content.decode()) | {"up"}
    asked = {name for rule in rules() for name in promql.metrics(promql.parse(rule.expr))}
    assert asked - known == set()


def test_an_alert_waits_as_long_as_it_says() -> None:
    rule = Rule("Example", 'up{job="tradingsite"} == 0', 30, "page", "")
    node, key = promql.parse(rule.expr), frozenset(SCRAPED.items())
    gone, there = ({"up": {key: value}} for value in (0.0, 1.0))
    assert promql.evaluate(node, [Scrape(0, gone)])
    assert not fires(rule, [Scrape(0, gone), Scrape(10, there)])
    assert fires(rule, [Scrape(0, there), Scrape(10, gone)])


@pytest.mark.parametrize(
    ("expr", "values"),
    [
        ("a", [1.0, 2.0]),
        ('a{x="1"}', [1.0]),
        ('a{x!="1"}', [2.0]),
        ('a{x=~"1|2"} > 1', [2.0]),
        ("sum(a)", [3.0]),
        ("max by (x) (a) * 2", [2.0, 4.0]),
        ("sum by (y) (a)", [3.0]),
        ("a / b", [0.1, 0.1]),
        ("a > 1 or a < 1", [2.0]),
        ("a >= 1 and b > 10", [2.0]),
        ("a unless b > 10", [1.0]),
        ("absent(c)", [1.0]),
        ("absent(a)", []),
        ("absent(c) and on () d == 7", [1.0]),
        ("increase(n[1m])", [3.0]),
        ("rate(n[30s])", [0.1]),
        ("changes(n[1m])", [1.0]),
        ("histogram_quantile(0.5, h_bucket)", [1.5]),
        ("-d + 10", [3.0]),
        ("1e1 / d > 1", [10 / 7]),
    ],
)
def test_the_evaluator_agrees_with_prometheus(expr: str, values: list[float]) -> None:
    one, two = (frozenset({("x", each)}) for each in "12")
    none: frozenset[tuple[str, str]] = frozenset()
    buckets = {frozenset({("le", le)}): count for le, count in (("1", 2.0), ("2", 6.0), ("+Inf", 8.0))}
    before: dict[str, promql.Vector] = {"n": {none: 5.0}}
    now = {"a": {one: 1.0, two: 2.0}, "b": {one: 10.0, two: 20.0}, "d": {none: 7.0}, "n": {none: 3.0}}
    found = promql.evaluate(promql.parse(expr), [Scrape(0, before), Scrape(10, {**now, "h_bucket": buckets})])
    assert isinstance(found, dict)
    assert sorted(found.values()) == pytest.approx(sorted(values))


@pytest.mark.parametrize("text", ["a +", "a{x=1", "median(a)", "a ? b", "rate(a)", "quantile(0.5, a)", "a b"])
def test_what_the_evaluator_does_not_know_is_refused(text: str) -> None:
    with pytest.raises((promql.Unknown, AssertionError)):
        promql.evaluate(promql.parse(text), [Scrape(0, {})])


def test_every_alert_is_explained_and_says_what_is_wrong() -> None:
    sections = (RULES.parents[2] / "docs/operations.md").read_text()
    for rule in rules():
        assert f"### {rule.name}\n" in sections, f"docs/operations.md has no section {rule.name}"
        assert rule.severity in {"page", "ticket"}
        assert len(rule.summary.split()) >= 4, rule.name
    headings = {line[4:] for line in sections.splitlines() if line.startswith("### ")}
    assert {each for each in headings if each[:1].isupper() and " " not in each} == BY_NAME.keys()


def test_a_quantile_of_nothing_is_no_number() -> None:
    empty = {"h_bucket": {frozenset({("le", "+Inf")}): 0.0}}
    found = promql.evaluate(promql.parse("histogram_quantile(0.9, h_bucket)"), [Scrape(0, empty)])
    assert isinstance(found, dict)
    assert math.isnan(next(iter(found.values())))
