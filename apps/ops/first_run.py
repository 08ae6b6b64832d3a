"""What a start makes sure of: schemas at their newest, an administrator, instruments, and the demo on its first run."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from apps.market import store
from apps.market.feeds.base import VenueProduct
from apps.market.feeds.coinbase_rest import CoinbaseRest
from apps.market.feeds.rest import FeedUnavailable
from apps.market.models import Instrument
from apps.market.selectors import market_store
from apps.market.store import partitions
from apps.ops import careful, demo
from apps.trading.models import Account
from apps.trading.services import accounts, rotating
from apps.trading.services.keys import KeyUnusable

ADMIN = "admin"
_FALLBACK = 20  # instruments taken from a venue that lists none of those the settings name


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a start found or made; the password is empty unless the administrator was made just now."""

    password: str
    instruments: int
    notes: tuple[str, ...] = ()


def migrate() -> list[str]:
    """Bring both schemas to their newest and return what was done; quick when there is nothing to do."""
    done = []
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", verbosity=0, interactive=False)
        done.append("site tables")
    if store.pending(settings.MARKET_DATABASE_URL):
        store.migrate(settings.MARKET_DATABASE_URL)
        done.append("market tables")
    return done


def prepare(*, rest_url: str, now: datetime) -> Prepared:
    """Make what a site needs and does not have: an administrator, instruments, an account; and the demo if it is on."""
    partitions.ahead(market_store(), now)
    trouble = _key_file()
    password, owner_id = _administrator()
    if settings.DEMO:
        loaded = demo.load(owner_id=owner_id, now=now)
        notes: tuple[str, ...] = tuple(f"no known price step for {symbol}" for symbol in loaded.unknown)
    else:
        notes = _from_venue(rest_url)
        if not Account.objects.exists():
            opened = accounts.open_account(
                owner_id=owner_id, name="Paper", deposit=Decimal(settings.PAPER_CASH), now=now
            )
            careful.bind(opened)
    return Prepared(password=password, instruments=Instrument.objects.count(), notes=(*trouble, *notes))


def _key_file() -> tuple[str, ...]:
    """Make the file that opens broker credentials where there is none; without it the site runs, on paper alone."""
    try:
        rotating.create()
    except KeyUnusable as error:
        return (str(error),)
    return ()


def _administrator() -> tuple[str, int]:
    users = get_user_model()._default_manager
    admin = users.filter(is_superuser=True).order_by("pk").first()
    if admin is not None:
        return "", admin.pk
    password = secrets.token_urlsafe(12)
    made = users.create_superuser(username=ADMIN, password=password)
    return password, made.pk


def _from_venue(rest_url: str) -> tuple[str, ...]:
    """Take the settings' instruments from what the venue lists, with its own price and quantity steps."""
    if Instrument.objects.exists():
        return ()
    rest = CoinbaseRest(rest_url)
    try:
        listed = [product for product in rest.products() if product.is_trading and _usable(product)]
    except FeedUnavailable as error:
        known = demo.add_instruments()
        return (f"the venue did not list its products ({error}): {len(known)} instruments with known steps instead",)
    finally:
        rest.close()
    wanted = set(settings.INSTRUMENTS)
    chosen = [product for product in listed if product.symbol in wanted] or listed[:_FALLBACK]
    Instrument.objects.bulk_create(_instrument(product) for product in chosen)
    return ()


def _usable(product: VenueProduct) -> bool:
    return bool(product.price_increment and product.size_increment)


def _instrument(product: VenueProduct) -> Instrument:
    return Instrument(
        symbol=product.symbol,
        base_currency=product.base,
        quote_currency=product.quote,
        tick_size=Decimal(product.price_increment),
        lot_size=Decimal(product.size_increment),
        min_quantity=Decimal(product.size_increment),
    )
