"""A site that is well, as rows; its figures as Prometheus would scrape them; and whether an alert fires on them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pytest_django import Settings

from apps.journal import pulses
from apps.journal.models import Canary, Lease
from apps.market.models import FeedStatus, Instrument
from apps.ops.backups.models import BackupRun, Status
from apps.trading.models import Account, RiskMetric
from apps.web import metrics
from tests import factories
from tests.ops import promql
from tests.ops.promql import Scrape, Vector
from workers import queues

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/alerts.yml"
SCRAPED = {"job": "tradingsite"}  # what Prometheus adds by itself, as far as our expressions ask
STEP = 10  # seconds between two scrapes
FACTS: dict[str, dict[str, Any]] = {
    "web": {"requests": 10, "errors": 0, "busy_seconds": 1.5},
    "listener:0": {"leads": True, "ticks": 40, "trades_lost": 0, "ticks_dropped": 0, "level_age_ms": 20},
    "sweeper": {"leads": True, "found": 0},
    "beat": {"leads": True},
    "worker:exits": {"tasks": 3},
    "worker:orders": {"tasks": 3},
}


class Rule(NamedTuple):
    """One alert as it stands in the file."""

    name: str
    expr: str
    holds: int  # seconds it must hold
    severity: str
    summary: str


def rules() -> list[Rule]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [
        Rule(
            each["alert"],
            each["expr"],
            promql.seconds(each.get("for", "0s")),
            each["labels"]["severity"],
            each["annotations"]["summary"],
        )
        for group in groups
        for each in group["rules"]
    ]


class World:
    """A site with an account, an instrument, every process alive, a backup, and nothing to complain about."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.at = datetime.now(UTC)
        self.instrument: Instrument = factories.make_instrument()
        self.account: Account = factories.make_account()
        for name in ("listener:0", "sweeper", "beat"):
            Lease.objects.create(name=name, epoch=1, holder="here:1", acquired_at=self.at, renewed_at=self.at)
        for name, facts in FACTS.items():
            pulses.beat(name, facts, started_at=self.at, now=self.at)
        FeedStatus.objects.create(name="coinbase:0", state="live", since=self.at, counters={"gaps": 0})
        Canary.objects.bulk_create(
            Canary(queue=name, sent_at=self.at, answered_at=self.at, took=timedelta(0), since=self.at)
            for name in queues.NAMES
        )
        for kind in ("backup", "drill"):
            BackupRun.objects.create(kind=kind, status=Status.DONE, started_at=self.at, ended_at=self.at)
        money = {name: Decimal(1000) for name in ("equity", "cash", "peak", "day_start", "capital")}
        RiskMetric.objects.create(
            account=self.account, at=self.at, measured_at=self.at, gross=Decimal(0), net=Decimal(0), **money
        )

    def ago(self, **span: float) -> datetime:
        return self.at - timedelta(**span)


def scrape(at: datetime) -> Scrape:
    """Read the figures as of an instant."""
    samples: dict[str, Vector] = {"up": {frozenset(SCRAPED.items()): 1.0}}
    for family in metrics.Figures(at).collect():
        for sample in family.samples:
            samples.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return Scrape(at.timestamp(), samples)


def unreachable(at: datetime) -> Scrape:
    """Return what Prometheus notes when the page of figures does not answer."""
    return Scrape(at.timestamp(), {"up": {frozenset(SCRAPED.items()): 0.0}})


def fires(rule: Rule, scrapes: Sequence[Scrape]) -> bool:
    """Say whether an alert fires when things stay as the last scrape shows them for as long as it asks."""
    node, last = promql.parse(rule.expr), scrapes[-1]
    later = [last._replace(at=last.at + STEP * n) for n in range(1, rule.holds // STEP + 1)]
    history = [*scrapes, *later]
    states = [promql.evaluate(node, history[:n]) for n in range(len(scrapes), len(history) + 1)]
    return all(bool(state) for state in states)
