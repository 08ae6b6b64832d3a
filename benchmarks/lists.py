"""What does every list of the site cost when its tables hold millions of rows?"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import crowded, filling, listed, stage
from benchmarks.crowded import Crowd
from benchmarks.figures import Goal, Table, median, quantile

COLUMNS = ("list", "who", "queries", "p50 ms", "p95 ms", "in the database ms", "of a bare query", "walks through")
MOST_QUERIES = 15
SLOWEST_MS = 500.0
SHOWN = 15
POST_ONLY = 405
BIG = 20_000  # rows: what holds fewer may be read as a whole
_BARE = "SELECT p.* FROM trading_position p WHERE p.account_id = %s AND p.status = 'closed' ORDER BY p.id DESC LIMIT 50"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many positions, and how often each list is asked for."""

    positions: int
    times: int


QUICK = Size(positions=2_000, times=2)
FULL = Size(positions=1_000_000, times=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One list as one person reads it."""

    address: str
    who: str
    status: int
    queries: int
    seconds: list[float]
    database: float  # seconds of all its statements, once
    walks: list[str]  # big tables of which every row is read, otherwise than to count them
    counts: list[str]  # big tables of which every row is counted, for a total

    @property
    def p95(self) -> float:
        """Milliseconds within which 95 of 100 were answered."""
        return quantile(self.seconds, 0.95) * 1000


def run(size: Size, folder: Path) -> Table:
    """Fill the tables, then read every list as somebody who sees all and as somebody with one account."""
    from django.conf import settings

    settings.DEBUG, settings.ALLOWED_HOSTS, settings.SECOND_FACTOR = False, ["testserver"], "off"
    crowd = crowded.fill(
        crowded.Size(positions=size.positions), partial(crowded.unchecked, stage.superuser_url(folder))
    )
    stage.rows("SET statement_timeout = 0")  # collecting statistics of so many rows takes its time
    filling.settled()
    stage.rows("RESET statement_timeout")
    bare = _bare(crowd, size.times)
    read = [_measure(address, user, size.times) for address, user in _asked(crowd)]
    found = [each for each in read if each.status != POST_ONLY]
    return _table(size, found, bare)


def _asked(crowd: Crowd) -> Iterator[tuple[str, Any]]:
    for route in listed.everything():
        for address in listed.filtered(route):
            yield address, crowd.everything
            yield address, crowd.one


def _bare(crowd: Crowd, times: int) -> float:
    """Return the seconds of one page of rows by an index, with nothing around it."""
    spans = []
    for _ in range(max(times, 10)):
        began = time.perf_counter()
        stage.rows(_BARE, [crowd.account])
        spans.append(time.perf_counter() - began)
    return median(spans)


def _measure(address: str, user: Any, times: int) -> Measured:
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client()
    client.force_login(user)
    client.get(address)  # what is read once per process
    connection.queries_log.clear()
    with CaptureQueriesContext(connection) as queries:
        status = client.get(address).status_code
        asked = list(queries)  # the next request forgets them
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        client.get(address)
        seconds.append(time.perf_counter() - began)
    return Measured(
        address=address,
        who=user.username,
        status=status,
        queries=len(asked),
        seconds=seconds,
        database=sum(float(each["time"]) for each in asked),
        walks=sorted({table for each in asked if not _counts(each["sql"]) for table in _walked(each["sql"])}),
        counts=sorted({table for each in asked if _counts(each["sql"]) for table in _walked(each["sql"])}),
    )


def _counts(statement: str) -> bool:
    return statement.startswith("SELECT COUNT(")


def _walked(statement: str) -> list[str]:
    """Return the big tables that a statement reads from end to end."""
    if not statement.lstrip().upper().startswith(("SELECT", "WITH")):
        return []
    ((plan,),) = stage.rows("EXPLAIN (FORMAT JSON) " + statement.replace("%", "%%"), [])
    tree = json.loads(plan) if isinstance(plan, str) else plan
    big = {name for (name,) in stage.rows("SELECT relname FROM pg_class WHERE reltuples > %s", [BIG])}
    return [node["Relation Name"] for node in _nodes(tree[0]["Plan"]) if node["Node Type"] == "Seq Scan"
            and node["Relation Name"] in big]  # fmt: skip


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _table(size: Size, found: list[Measured], bare: float) -> Table:
    events = size.positions * crowded.EVENTS_EACH
    title = f"Lists: {size.positions:,} positions, {events:,} events; the {SHOWN} slowest of {len(found)} lists"
    table = Table(title=title, columns=COLUMNS)
    for each in sorted(found, key=lambda one: -one.p95)[:SHOWN]:
        p50 = median(each.seconds)
        walks = ", ".join([*each.walks, *(f"{table} (counts)" for table in each.counts)]) or "nothing"
        table.rows.append(
            (each.address, each.who, each.queries, p50 * 1000, each.p95, each.database * 1000, p50 / bare, walks)
        )
    failed = [each for each in found if each.status != 200]
    table.goals = [
        Goal(text="lists that failed", value=len(failed), limit=0, at_most=True),
        Goal(text="most queries of a list", value=max(x.queries for x in found), limit=MOST_QUERIES, at_most=True),
        Goal(text="lists that read a big table whole", value=sum(bool(x.walks) for x in found), limit=0, at_most=True),
        Goal(text="p95 of the slowest list, ms", value=max(x.p95 for x in found), limit=SLOWEST_MS, at_most=True),
    ]
    half = median(median(each.seconds) for each in found) * 1000
    table.notes.append(
        f"half of all lists are answered within {half:.3g} ms; a bare query of 50 rows {bare * 1000:.3g} ms"
    )
    table.notes.append(
        "each through the whole site: session, rights, rows, page; `all` sees every account, `one` one of 97"
    )
    table.notes.append("the totals of the API are exact: filtered without an index they count every row")
    table.notes.append("not among the lists: /api/v1/statistics, which sums up all that was ever traded")
    table.notes += [f"{each.address} answers {each.status} to {each.who}" for each in failed]
    return table
