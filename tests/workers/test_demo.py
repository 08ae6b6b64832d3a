"""The demo: loaded once, then left to the person who uses it."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from apps.access.models import User
from apps.domain.strategies import contract
from apps.domain.strategies.registry import STRATEGIES
from apps.market.models import Instrument
from apps.ops import demo
from apps.simulator import products
from apps.strategies.models import Strategy
from apps.trading import books
from apps.trading.models import Account, Allocation

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> User:
    return User.objects.create_superuser("admin", password="long-enough-4-a-test")


def test_the_first_load_makes_everything(admin: User) -> None:
    loaded = demo.load(owner_id=admin.pk, now=NOW)
    assert set(loaded.instruments) == set(settings.INSTRUMENTS)
    account = Account.objects.get()
    assert (account.name, account.owner) == ("Demo", admin)
    assert books.balance(account).cash == Decimal(1_000_000)
    assert Strategy.objects.filter(enabled=True).count() == 2
    assert Allocation.objects.count() == 2
    assert all(strategy.instruments.count() == 8 for strategy in Strategy.objects.all())


def test_the_second_load_changes_nothing(admin: User) -> None:
    demo.load(owner_id=admin.pk, now=NOW)
    Strategy.objects.filter(name="Demo momentum").delete()
    Strategy.objects.update(enabled=False)
    assert demo.load(owner_id=admin.pk, now=NOW) == demo.Loaded()
    assert not Strategy.objects.filter(enabled=True).exists()
    assert books.balance(Account.objects.get()).cash == Decimal(1_000_000)


def test_the_grids_are_those_the_simulated_exchange_lists() -> None:
    listed = {p.id: (p.quote_increment, p.base_increment) for p in products.DEFAULT}
    assert listed == demo.GRIDS


def test_every_demo_strategy_takes_its_parameters() -> None:
    for follower in demo.FOLLOWERS:
        plugin = contract.build(STRATEGIES.get(follower.plugin), follower.parameters)
        assert plugin.warmup * follower.bar_seconds <= 10, "the first signals come within some ten seconds"


def test_a_lot_can_be_bought_of_every_instrument(admin: User) -> None:
    demo.load(owner_id=admin.pk, now=NOW)
    for product in products.DEFAULT:
        least = Instrument.objects.get(symbol=product.id).min_quantity
        assert demo.NOTIONAL / product.start_price > 10 * least


def test_an_instrument_without_a_known_grid_is_named(admin: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "INSTRUMENTS", ["BTC-USD", "NEW-USD"])
    loaded = demo.load(owner_id=admin.pk, now=NOW)
    assert (loaded.instruments, loaded.unknown) == (("BTC-USD",), ("NEW-USD",))


def test_the_command_needs_an_administrator() -> None:
    with pytest.raises(CommandError, match="createsuperuser"):
        call_command("demo")


def test_the_command_says_what_it_made(admin: User) -> None:
    out = StringIO()
    call_command("demo", "--json", stdout=out)
    assert json.loads(out.getvalue())["account"] == "Demo"
    out = StringIO()
    call_command("demo", stdout=out)
    assert out.getvalue().strip() == "everything was there"
