"""A desk with something on it: two people with accounts, positions open and closed, orders, decisions, limits."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from pytest_django import Settings

from apps.access.models import User
from apps.domain.states import OrderStatus
from apps.journal.models import Lease, Pulse
from apps.market.models import FeedStatus, Instrument
from apps.strategies.models import Signal, Strategy
from apps.trading.models import (
    Account,
    Allocation,
    Decision,
    Discrepancy,
    Order,
    Position,
    RiskLimit,
    RiskMetric,
    Violation,
)
from tests import factories

TRADER = ("trading.change_position", "trading.restrict", "strategies.change_strategy", "backtests.view_run")


def signed_in(user: User) -> Client:
    browser = Client()
    browser.force_login(user)
    return browser


def allow(user: User, *rights: str) -> User:
    for right in rights:
        app, _, codename = right.partition(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return user


@dataclass
class Desk:
    """What the tests look at: `trader` has everything, `viewer` has an account and no right, `other` is a stranger."""

    trader: User
    viewer: User
    other: User
    account: Account
    foreign: Account
    instrument: Instrument
    position: Position
    closed: Position
    elsewhere: Position
    strategy: Strategy
    order: Order
    decision: Decision

    def browser(self, user: User | None = None) -> Client:
        return signed_in(user or self.trader)


@pytest.fixture
def desk(db: None, settings: Settings, _migrated_store: str) -> Desk:
    settings.DATABASE_URL = settings.MARKET_DATABASE_URL = _migrated_store
    trader = allow(factories.make_user("trader"), *TRADER)
    viewer, other = factories.make_user("viewer"), factories.make_user("other")
    instrument = factories.make_instrument()
    account, foreign = factories.make_account(trader, name="nest egg"), factories.make_account(other, name="foreign")
    factories.make_account(viewer, name="looked at")
    levels = (factories.stop("90"), factories.target("120"))
    position = factories.opened(account, instrument, *levels)
    closed = factories.opened(account, instrument, factories.stop("95"))
    factories.cross([factories.leg_of(closed, "stop_loss")], "95")
    elsewhere = factories.opened(foreign, instrument, *levels)
    strategy = Strategy.objects.create(name="calm", plugin="sma_cross", stage="paper", enabled=True)
    strategy.instruments.add(instrument)
    Allocation.objects.create(strategy=strategy, account=account, notional=Decimal(1000))
    now = datetime.now(UTC)
    Signal.objects.create(
        strategy=strategy,
        instrument=instrument,
        bar_at=now,
        stance=1,
        price=Decimal(100),
        reason="crossed",
        made_at=now,
    )
    decision, order = _ordered(account, instrument)
    _ordered(foreign, instrument)
    _risk(account, now)
    FeedStatus.objects.create(name="coinbase:0", state="live", since=now)
    Pulse.objects.create(name="sweeper", host="here", pid=1, started_at=now, beat_at=now)
    Lease.objects.update_or_create(name="sweeper", defaults={"epoch": 3, "holder": "here:1", "renewed_at": now})
    return Desk(
        trader=trader,
        viewer=viewer,
        other=other,
        account=account,
        foreign=foreign,
        instrument=instrument,
        position=position,
        closed=closed,
        elsewhere=elsewhere,
        strategy=strategy,
        order=order,
        decision=decision,
    )


def _ordered(account: Account, instrument: Instrument) -> tuple[Decision, Order]:
    verdict = {
        "rule": "max_order_value",
        "allowed": False,
        "number": "100",
        "limit": "10",
        "formula": "price * quantity <= amount",
        "sentence": "the order is worth 100 USD, beyond the limit of 10 USD",
    }
    shared = {"account": account, "instrument": instrument}
    decision = Decision.objects.create(
        **shared, side="long", quantity=Decimal(1), approved=False, reason="too large", verdicts=[verdict], actor="api"
    )
    order = Order.objects.create(
        **shared,
        decision=decision,
        purpose="entry",
        client_id=f"x{account.pk}-1",
        buy=True,
        kind="limit",
        quantity=Decimal(1),
        limit_price=Decimal(99),
        status=OrderStatus.ACCEPTED,
    )
    return decision, order


def _risk(account: Account, now: datetime) -> None:
    limit = RiskLimit.objects.create(rule="max_drawdown", scope="account", target=account.pk, parameters={"rate": 0.2})
    RiskLimit.objects.create(rule="max_order_value", scope="account", target=account.pk)
    for hours in (3, 2, 1):
        RiskMetric.objects.create(
            account=account,
            at=now - timedelta(hours=hours),
            equity=Decimal(999_000 + hours),
            cash=Decimal(999_000),
            gross=Decimal(0),
            net=Decimal(0),
            peak=Decimal(1_000_000),
            day_start=Decimal(999_500),
            capital=Decimal(1_000_000),
        )
    Violation.objects.create(
        limit=limit,
        rule="max_drawdown",
        account=account,
        scope="account",
        target=account.pk,
        number="0.3",
        bound="0.2",
        formula="x",
        sentence="the fall from the highest equity is 30%",
        action="block",
        began_at=now,
        seen_at=now,
    )
    Discrepancy.objects.create(account=account, kind="position", subject="BTC-USD", ours="1", theirs="2")
