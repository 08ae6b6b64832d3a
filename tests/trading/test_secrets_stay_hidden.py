"""Canary secrets are stored and used at a venue that echoes them; afterwards they are nowhere in the clear."""

import logging
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.urls import reverse
from drf_spectacular.generators import SchemaGenerator

from apps.access.models import User
from apps.domain.errors import Refused
from apps.market.models import Instrument
from apps.trading import bell, masking
from apps.trading.models import Account, Credential, Order, Standing
from apps.trading.services import keys
from tests import factories
from tests.trading.echo_broker import EchoBroker, Venue
from tests.trading.keys_world import KEY, NOW, PHRASE, SECRET, connected, key_file, new, owner, stored, venue
from tests.trading.orders import wishes
from tests.trading.orders.book import send
from workers import bell as bells

__all__ = ["key_file", "owner", "venue"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("key_file", "market_of_the_site")]
CANARIES = (KEY, SECRET, PHRASE)
STATUSES = (200, 400, 401, 403, 422, 429, 500, 503)


@pytest.fixture
def market_of_the_site(_migrated_store: str, settings: Any, tmp_path: Path) -> None:
    settings.DATABASE_URL = settings.MARKET_DATABASE_URL = _migrated_store
    settings.STATIC_ROOT = tmp_path


@pytest.fixture
def log() -> Iterator[StringIO]:
    handlers = [each for each in logging.getLogger().handlers if type(each) is logging.StreamHandler]
    text = StringIO()
    before = [handler.setStream(text) for handler in handlers]
    assert handlers
    yield text
    for handler, stream in zip(handlers, before, strict=True):
        handler.setStream(stream)


@pytest.fixture
def ringing(monkeypatch: pytest.MonkeyPatch) -> Iterator["redis.Redis[str]"]:
    """Bells that send real Celery messages, which nobody takes out of Redis."""
    monkeypatch.setattr(bell, "_ring_orders", bells.ring_orders)
    monkeypatch.setattr(bell, "_ring", bells.ring)
    with redis.Redis.from_url(settings.REDIS_URL, decode_responses=True) as client:
        client.flushdb()
        yield client
        client.flushdb()


def exercise(owner: User, venue: Venue, instrument: Instrument) -> Account:
    """Store, check, replace and trade, while the venue answers in every way with what it was told."""
    row = stored(owner, venue.url)
    account = connected(owner, row)
    Standing.objects.create(account=account, clean_at=factories.now())
    for status in STATUSES:
        venue.status = status
        for act in (
            lambda: keys.check(row, now=NOW),
            lambda: keys.replace(row, new(owner, venue.url).secrets, now=NOW),
            lambda status=status: keys.store(new(owner, venue.url, name=f"second {status}"), now=NOW),
        ):
            try:
                logging.getLogger("apps.trading").warning("%s", act().trouble)
            except Refused as refused:
                logging.getLogger("apps.trading").warning("refused", exc_info=refused)
        order = wishes.enter(account, instrument)
        send(after=1)
        send(after=60)
        wishes.factories.fresh(order)
    return account


def dump() -> dict[str, str]:
    """Return every row of every table as PostgreSQL writes it in a plain dump."""
    found = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {table} t")
            found[table] = cursor.fetchone()[0]
    return found


def messages(client: "redis.Redis[str]") -> dict[str, str]:
    """Return everything that is in Redis."""
    read = {
        "string": client.get,
        "list": lambda key: client.lrange(key, 0, -1),
        "hash": client.hgetall,
        "set": client.smembers,
        "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        "stream": client.xrange,
    }
    return {key: str(read[client.type(key)](key)) for key in client.keys("*")}


def pages(browser: Client) -> dict[str, str]:
    """Return every list of the admin, and the page of the newest row of each."""
    found = {address: browser.get(address).content.decode() for address in (reverse("admin:index"),)}
    for model in admin.site._registry:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        addresses = [reverse(f"admin:{name}_changelist")]
        for row in model._default_manager.order_by("-pk")[:3]:
            addresses.append(reverse(f"admin:{name}_change", args=[row.pk]))
        for address in addresses:
            found[address] = browser.get(address, follow=True).content.decode()
    return found


def answers(browser: Client) -> dict[str, str]:
    """Return what every list of the API answers."""
    found = {}
    for path in SchemaGenerator().get_schema(public=True)["paths"]:
        if "{" not in path:
            found[path] = browser.get(path).content.decode(errors="replace")
    return found


def hits(texts: dict[str, str]) -> list[str]:
    return [name for name, text in texts.items() for canary in CANARIES if canary in text]


def test_canaries_are_nowhere_in_the_clear(
    owner: User, venue: Venue, instrument: Instrument, log: StringIO, ringing: "redis.Redis[str]"
) -> None:
    account = exercise(owner, venue, instrument)
    assert keys.access_of(account).secret == SECRET, "they are really there, and in use"
    assert {status for status in STATUSES if status != 200}, "and the venue repeats them"
    told = [order.why for order in Order.objects.all()]
    assert any(masking.MASK in why for why in told), told
    tables = dump()
    assert "trading_credential" in " ".join(tables)
    assert tables["public.trading_order"]
    assert hits(tables) == []
    sent = messages(ringing)
    assert any("trading.send_orders" in text for text in sent.values()), sent
    assert hits(sent) == []
    root = User.objects.create_superuser("root", password="long-enough-4-a-test")
    browser = Client()
    browser.force_login(root)
    shown = pages(browser)
    assert len(shown) > 20
    assert masking.MASK in " ".join(shown.values()), "what the venue said is shown, masked"
    assert hits(shown) == []
    assert hits(answers(browser)) == []
    written = log.getvalue()
    assert masking.MASK in written
    assert hits({"log": written}) == []


def test_without_the_mask_the_same_search_finds_them(
    owner: User,
    venue: Venue,
    instrument: Instrument,
    log: StringIO,
    ringing: "redis.Redis[str]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(masking, "mask", lambda text: text)
    exercise(owner, venue, instrument)
    assert any("trading_order" in name or "journal_event" in name for name in hits(dump()))
    assert hits({"log": log.getvalue()})


def test_the_row_itself_shows_nothing(owner: User, venue: Venue) -> None:
    row = Credential.objects.get(pk=stored(owner, venue.url).pk)
    assert hits({"row": str(vars(row)), "name": str(row), "bytes": bytes(row.sealed).decode("latin1")}) == []
    assert EchoBroker.name == row.broker
