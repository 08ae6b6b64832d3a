"""What does it cost to ask every risk rule before each entry, beside the insert of one order?"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks import filling, stage
from benchmarks.figures import Goal, Table, median

COLUMNS = ("what, each with its commit", "a second", "ms each", "of one order insert")
INSTRUMENTS = 20
RULES = 15
GOAL = 4.0
APART = timedelta(milliseconds=100)
# Loose enough that everything is approved: a refusal stops nothing early, all rules judge in either case.
LOOSE: dict[str, dict[str, Any]] = {
    "max_order_value": {"amount": 1e9},
    "max_position_size": {"units": 1e9},
    "max_gross_exposure": {"rate": 1000},
    "max_net_exposure": {"rate": 1000},
    "max_asset_exposure": {"rate": 1000},
    "max_open_positions": {"lots": 1_000_000},
    "max_daily_loss": {},
    "max_drawdown": {},
    "max_loss_streak": {},
    "cooldown": {"seconds": 1},
    "max_order_rate": {"orders": 100_000},
    "price_band": {},
    "max_spread": {"known": False},
    "stale_data": {"seconds": 86_400},
    "leverage": {"times": 1000},
    "market_closed": {},
    "max_strategy_exposure": {"rate": 1000},
    "max_correlation": {"known": False},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many decisions of each kind, over how many positions that are open all along."""

    decisions: int
    positions: int
    turns: int  # the kinds take turns, so that all of them see the same machine


QUICK = Size(decisions=120, positions=50, turns=2)
FULL = Size(decisions=10_000, positions=500, turns=20)


def run(size: Size, folder: Path) -> Table:
    """Measure decisions with no, fifteen and all rules, and orders, in turns."""
    world = _World(filling.site(INSTRUMENTS), size)
    each = size.decisions // size.turns
    kinds: dict[str, Callable[[], None]] = {
        "an order, inserted": world.order,
        "a decision, no rule": lambda: world.decide(0),
        f"a decision, {RULES} rules": lambda: world.decide(RULES),
        f"a decision, all {len(LOOSE)} rules": lambda: world.decide(len(LOOSE)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    try:
        for _ in range(size.turns):
            for count, (name, kind) in zip((0, 0, RULES, len(LOOSE)), kinds.items(), strict=True):
                world.enable(count)
                kind()  # the first on new limits reads their parameters
                began = time.perf_counter()
                for _ in range(each):
                    kind()
                seconds[name].append((time.perf_counter() - began) / each)
        batch = world.batch(min(each, 100))
    finally:
        stage.rows("DELETE FROM trading_risklimit")
    return _table(size, seconds, batch)


def _table(size: Size, seconds: dict[str, list[float]], batch: float) -> Table:
    title = f"Decisions: {size.decisions:,} of each kind, {size.positions:,} lots of {INSTRUMENTS} instruments are open"
    table = Table(title=title, columns=COLUMNS)
    insert, *_ = (median(spans) for spans in seconds.values())
    for name, spans in seconds.items():
        span = median(spans)
        table.rows.append((name, 1 / span, span * 1000, span / insert))
    table.rows.append((f"a decision of a batch, {RULES} rules", 1 / batch, batch * 1000, batch / insert))
    ruled = median(seconds[f"a decision, {RULES} rules"])
    table.goals.append(
        Goal(text=f"a decision with {RULES} rules / one order insert", value=ruled / insert, limit=GOAL, at_most=True)
    )
    table.notes.append("a decision: account locked, limits and facts read, every rule judged, row stored, commit")
    table.notes.append(f"decisions are {APART.microseconds // 1000} ms apart by their clock: 600 in the last minute")
    table.notes.append("an order: one row of an entry order stored by the same ORM, commit; medians of turns")
    return table


class _World:
    """One account with open positions, prices, limits and what was measured of it before."""

    def __init__(self, account: int, size: Size) -> None:
        from apps.market.models import Instrument, Quote
        from apps.trading.models import Account, Decision, RiskLimit, RiskMetric

        self._now = datetime.now(UTC)
        self._keys = itertools.count(1)
        filling.positions(account, size.positions, instruments=INSTRUMENTS, stop="990", target="1010")
        filling.books()
        self._account = Account.objects.get(pk=account)
        self._instruments = list(Instrument.objects.order_by("pk"))
        price, at = Decimal(filling.PRICE), self._now
        shared = {"price": price, "low": price, "high": price, "at": at, "received_at": at, "heard_at": at}
        Quote.objects.bulk_create(Quote(instrument=each, **shared) for each in self._instruments)
        self._quotes = Quote.objects.in_bulk()
        worth = {name: Decimal(10) ** 11 for name in ("equity", "cash", "peak", "day_start", "capital")}
        RiskMetric.objects.create(account=self._account, at=at, gross=0, net=0, **worth)
        RiskLimit.objects.bulk_create(
            RiskLimit(rule=rule, parameters=parameters, enabled=False) for rule, parameters in LOOSE.items()
        )
        self._decision = Decision.objects.create(
            account=self._account, instrument=self._instruments[0], side="long", quantity=1, approved=True, at=at
        )
        filling.settled()

    def enable(self, count: int) -> None:
        """Switch the first so many limits on."""
        stage.rows("UPDATE trading_risklimit SET enabled = rule = ANY(%s)", [list(LOOSE)[:count]])

    def order(self) -> None:
        """Store one order."""
        from django.db import transaction

        from apps.trading.models import Order

        key = next(self._keys)
        with transaction.atomic():
            Order.objects.create(
                account=self._account,
                instrument=self._instruments[key % INSTRUMENTS],
                decision=self._decision,
                purpose="entry",
                client_id=f"bench-{key}",
                buy=True,
                kind="limit",
                quantity=1,
                limit_price=filling.PRICE,
                status="cancelled",
                ended_at=self._now,
            )

    def decide(self, rules: int) -> None:
        """Decide on one wish as an order path does: under the account's lock, stored, committed."""
        from django.db import transaction

        from apps.trading import locks
        from apps.trading.services import deciding

        with deciding.recorded(), transaction.atomic():
            account = locks.account(self._account.pk)
            decision = deciding.decide(self._asked(account), now=self._tick())
            decision.save()
        if len(decision.verdicts) != rules:
            raise RuntimeError(f"{len(decision.verdicts)} rules judged, not {rules}")

    def batch(self, count: int) -> float:
        """Return the seconds per decision when one transaction takes `count` of them."""
        from django.db import transaction

        from apps.trading import locks
        from apps.trading.models import Decision
        from apps.trading.services import deciding

        self.enable(RULES)
        began = time.perf_counter()
        with deciding.recorded(), transaction.atomic():
            account, sitting = locks.account(self._account.pk), deciding.Sitting(self._tick())
            Decision.objects.bulk_create([sitting.decide(self._asked(account)) for _ in range(count)])
        return (time.perf_counter() - began) / count

    def _tick(self) -> datetime:
        """Let time pass between decisions, so that the last minute holds 600 of them, not all."""
        self._now += APART
        return self._now

    def _asked(self, account: Any) -> Any:
        from apps.domain.sides import Side
        from apps.trading.services import deciding

        key = next(self._keys)
        instrument = self._instruments[key % INSTRUMENTS]
        return deciding.Asked(
            account=account,
            instrument=instrument,
            side=Side.LONG,
            quantity=Decimal(1),
            price=Decimal(filling.PRICE),
            quote=self._quotes[instrument.pk],
            request_key=f"bench-{key}",
        )
