"""Dashboards ask for what exists, task counts survive whoever counted them, and key figures are kept for years."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from billiard.context import ForkContext
from django.db import connection
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from apps.journal import measures, tallies
from apps.journal.measures import Sample
from apps.journal.models import Measure, TaskTally
from apps.trading.models import RiskLimit
from apps.web.figures import keeping, trading
from tests import factories
from tests.conftest import database_url
from tests.ops import promql
from tests.ops.alerting import ROOT, World, scrape
from workers.tallying import Tallies, counted

DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
NONE = [0] * (len(tallies.BUCKETS) + 1)


@pytest.fixture
def world(db: None, settings: Settings) -> World:
    return World(settings)


def panels(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["panels"]
    return found


def expressions(path: Path) -> Iterator[str]:
    for panel in panels(path):
        yield from (target["expr"] for target in panel["targets"])


def families() -> set[str]:
    """Name every series the page can hold: by its families, so that one without values counts as well."""
    found = set()
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gaugehistogram": ("_bucket",)}
    for family in text_string_to_metric_families(Client().get("/metrics").content.decode()):
        found |= {family.name + ending for ending in endings.get(family.type, ("",))}
        found |= {sample.name for sample in family.samples}
    return found


# --- dashboards -------------------------------------------------------------------------------------------------------
def test_every_metric_of_every_dashboard_exists(world: World) -> None:
    assert len(DASHBOARDS) >= 4
    known = families()
    asked = {n for path in DASHBOARDS for text in expressions(path) for n in promql.metrics(promql.parse(text))}
    assert len(asked) > 40
    assert asked - known == set()


def test_every_metric_is_on_a_dashboard_or_in_an_alert(world: World) -> None:
    """Nobody looks at what is shown nowhere; the events' number is for clients that resume."""
    told = "".join(path.read_text() for path in DASHBOARDS)
    told += (ROOT / "deploy/prometheus/alerts.yml").read_text()
    names = {name.removesuffix("_count").removesuffix("_sum").removesuffix("_gcount") for name in families()}
    assert {name for name in names if name not in told} - {"tradingsite_events_total"} <= {
        name for name in names if name.endswith(("_gsum", "_created"))
    }


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_can_be_loaded_and_its_panels_fill_the_rows(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["uid"] == path.stem
    assert board["title"]
    cells: set[tuple[int, int]] = set()
    for panel in panels(path):
        assert panel["description"].endswith(".")
        assert panel["datasource"]["uid"] == "prometheus"
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not own & cells, f"{panel['title']} lies on another panel"
        cells |= own
    assert len({panel["id"] for panel in panels(path)}) == len(panels(path))
    assert {x for x, _ in cells} == set(range(24))


# --- figures ----------------------------------------------------------------------------------------------------------
def test_the_page_takes_as_many_queries_for_many_rows_as_for_few(
    world: World, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    factories.many(world.account, world.instrument, 30, factories.stop("95"))
    with django_assert_max_num_queries(45) as few:
        scrape(world.at)
    for number in range(5):
        factories.make_account(world.account.owner, name=f"another {number}")
    factories.many(world.account, world.instrument, 30, factories.stop("95"))
    with django_assert_max_num_queries(len(few)):
        scrape(world.at)


def test_a_session_that_waits_for_a_lock_is_counted(world: World) -> None:
    metric = "tradingsite_database_locks_waiting"
    before = next(iter(scrape(world.at).samples[metric].values()))
    with closing(psycopg2.connect(database_url())) as one, closing(psycopg2.connect(database_url(), async_=1)) as two:
        one.cursor().execute("SELECT pg_advisory_lock(987001)")
        while two.poll() != psycopg2.extensions.POLL_OK:
            pass
        two.cursor().execute("SELECT pg_advisory_lock(987001)")
        seen = [before]
        while seen[-1] <= before and len(seen) < 2000:
            seen.append(next(iter(scrape(world.at).samples[metric].values())))
        assert seen[-1] > before


# --- tasks ------------------------------------------------------------------------------------------------------------
def _count(counts: Tallies, times: int) -> None:
    for _ in range(times):
        counts.count("a.task", ran=0.05, waited=0.3, failed=False)


def _count_and_die(counts: Tallies) -> None:
    _count(counts, 10)
    counts.count("a.task", ran=3.0, waited=None, failed=True)
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_child_has_counted_is_told_by_its_parent(db: None) -> None:
    counts = Tallies(["a.task", "b.task"])
    for _ in range(2):
        child = ForkContext().Process(target=_count_and_die, args=(counts,))
        child.start()
        child.join(60)
        assert child.exitcode == -signal.SIGKILL
    sums, fresh = counts.news()
    assert fresh.keys() == {"a.task"}
    tallies.add([counted("a.task", "ops", fresh["a.task"])])
    counts.told(sums)
    assert counts.news()[1] == {}
    row = TaskTally.objects.get()
    assert (row.done, row.failed, sum(row.runs), sum(row.waits)) == (20, 2, 22, 20)
    assert row.ran.total_seconds() == pytest.approx(20 * 0.05 + 2 * 3.0)
    assert row.waits[tallies.BUCKETS.index(0.5)] == 20


def test_counts_of_many_workers_add_up_in_their_buckets(db: None) -> None:
    first = tallies.Counted("a.task", "ops", 2, 1, 1.5, [1, 2, *NONE[2:]], 0.5, [3, *NONE[1:]])
    tallies.add([first])
    tallies.add([first._replace(done=5, runs=[0, 4, *NONE[2:]])])
    row = TaskTally.objects.get()
    assert (row.done, row.failed, row.runs[:2], row.waits[0], row.ran) == (7, 2, [1, 6], 6, timedelta(seconds=3))
    assert len(row.runs) == len(tallies.BUCKETS) + 1


def test_a_task_that_nobody_knew_at_the_start_is_not_counted() -> None:
    counts = Tallies(["a.task"])
    counts.count("another", ran=1.0, waited=1.0, failed=False)
    assert counts.news()[1] == {}


def test_a_histogram_of_tasks_is_cumulative(world: World) -> None:
    tallies.add([tallies.Counted("a.task", "ops", 3, 0, 1.0, [1, 2, *NONE[2:]], 0.0, NONE)])
    series = scrape(world.at).samples["tradingsite_task_run_seconds_bucket"]
    found = {float(dict(labels)["le"]): count for labels, count in series.items()}
    assert [found[bound] for bound in sorted(found)] == [1.0, *[3.0] * len(tallies.BUCKETS)]


# --- kept for years ---------------------------------------------------------------------------------------------------
def test_key_figures_of_a_minute_are_kept_once(world: World) -> None:
    RiskLimit.objects.create(rule="max_open_positions", scope="site", parameters={"lots": 4})
    factories.opened(world.account, world.instrument, factories.stop("95"))
    kept = keeping.samples(world.at)
    assert measures.store(kept, world.at) == len(kept) > 10
    assert measures.store(kept, world.at) == 0
    assert {f"tradingsite_{name}" for name in keeping.KEPT} >= {s.name for s in kept} - {trading.RISK_USED}
    (used,) = Measure.objects.filter(name=trading.RISK_USED)
    assert used.value == Decimal("0.25")
    shown = scrape(datetime.now(UTC)).samples[trading.RISK_USED]
    assert shown == {frozenset({("account", str(world.account.pk)), ("rule", "max_open_positions")}): used.value}


def test_more_series_than_agreed_are_not_kept(db: None) -> None:
    many = [Sample("a", f'n="{n}"', 1.0) for n in range(measures.MOST + 50)]
    assert measures.store(many, datetime.now(UTC)) == measures.MOST


def test_old_figures_are_thinned_to_one_an_hour_and_the_oldest_go(db: None) -> None:
    now = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)
    for hours, minutes in ((1, 3), (80, 60), (81, 30)):
        for minute in range(minutes):
            measures.store([Sample("a", "", float(minute))], now.replace(minute=minute) - timedelta(hours=hours))
    measures.store([Sample("a", "", 9.0)], now - timedelta(days=801))
    assert measures.thin(now) == 59 + 29 + 1
    assert measures.thin(now) == 0
    assert list(Measure.objects.order_by("at").values_list("value", flat=True)) == [0.0, 0.0, 0.0, 1.0, 2.0]


def test_labels_are_taken_apart_as_they_were_put_together() -> None:
    labels = (("account", "7"), ("rule", 'odd",=\n\\name'))
    assert trading.parsed(trading.written(labels)) == (("account", "7"), ("rule", "oddname"))
    assert trading.parsed(trading.written(())) == ()


def test_figures_are_read_by_index_not_by_walking_through_years(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO journal_measure (name, labels, at, value) SELECT 'n' || k % 50, '', "
            "now() - k * interval '1 minute', 1 FROM generate_series(1, 20000) AS k"
        )
        cursor.execute("ANALYZE journal_measure")
        rows = Measure.objects.filter(name__in=["n1"], at__gte=datetime.now(UTC) - timedelta(minutes=3))
        plan = rows.order_by("name", "labels", "-at").distinct("name", "labels").explain()
    assert "Seq Scan" not in plan
