"""A site with instruments, accounts and positions in every state, and people with different rights."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from pytest_django import Settings

from apps.access.models import User
from apps.domain.legs import ExitReason, Leg, LegKind
from apps.domain.sides import Side
from apps.market.models import Instrument, Quote
from apps.trading.models import Account, Position
from apps.trading.services import accounts, exits, positions


@pytest.fixture(autouse=True)
def static_root(settings: Settings, tmp_path: Path) -> None:
    """Whitenoise warns of a folder that is made at deployment."""
    settings.STATIC_ROOT = tmp_path


@pytest.fixture(autouse=True)
def market_tables(_migrated_store: str, settings: Settings) -> None:
    """The pages on data quality and charts ask the market store."""
    settings.DATABASE_URL = settings.MARKET_DATABASE_URL = _migrated_store


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root", password="long-enough-4-a-test")


@pytest.fixture
def desk(root: User) -> Client:
    """A browser in which a superuser is signed in."""
    browser = Client()
    browser.force_login(root)
    return browser


@pytest.fixture
def staff(db: None) -> Callable[..., tuple[User, Client]]:
    """Make a member of staff with some permissions, signed in."""

    def make(name: str, *permissions: str) -> tuple[User, Client]:
        user = User.objects.create_user(name, password="long-enough-4-a-test", is_staff=True)
        for permission in permissions:
            app, _, codename = permission.partition(".")
            user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
        browser = Client()
        browser.force_login(user)
        return user, browser

    return make


@pytest.fixture
def btc(db: None) -> Instrument:
    """An instrument with a fresh price of 61,800.30."""
    instrument = Instrument.objects.create(
        symbol="BTC-USD",
        base_currency="BTC",
        quote_currency="USD",
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.0001"),
        min_quantity=Decimal("0.0001"),
    )
    price_at(instrument, "61800.30")
    return instrument


def price_at(instrument: Instrument, text: str) -> None:
    now, price = datetime.now(UTC), Decimal(text)
    values = {"price": price, "low": price, "high": price, "at": now, "received_at": now, "heard_at": now}
    Quote.objects.update_or_create(instrument=instrument, defaults=values)


@pytest.fixture
def account(root: User) -> Account:
    now = datetime.now(UTC)
    return accounts.open_account(owner_id=root.pk, name="paper", deposit=Decimal(10_000_000), now=now)


def leg(kind: LegKind, **values: object) -> Leg:
    return Leg(kind=kind, **values)


LEGS = (
    leg(LegKind.STOP_LOSS, level=Decimal("61000")),
    leg(LegKind.TAKE_PROFIT, level=Decimal("63000.5")),
    leg(LegKind.TRAILING_STOP, trail=Decimal("0.015"), trail_is_rate=True),
)


def open_position(account: Account, instrument: Instrument, *legs: Leg, quantity: str = "0.5") -> Position:
    wish = positions.Opening(
        account_id=account.pk,
        instrument_id=instrument.pk,
        side=Side.LONG,
        quantity=Decimal(quantity),
        legs=legs,
        actor="root",
    )
    return positions.open_position(wish, now=datetime.now(UTC)).position


def close(position: Position) -> None:
    now = datetime.now(UTC)
    exits.request_exit(position_id=position.pk, reason=ExitReason.API, source="api", now=now, actor="root")
    exits.drain(worker="test", limit=10)


@pytest.fixture
def position(account: Account, btc: Instrument) -> Position:
    return open_position(account, btc, *LEGS)


SOON = timedelta(hours=4)
