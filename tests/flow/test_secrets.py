"""Real processes trade with a real broker's adapter at a venue that echoes its key: no log and no row shows it."""

import contextlib
from collections.abc import Iterator

import psycopg2
import pytest
import redis
from pytest_django import Settings

from apps.trading import keyfile, masking
from apps.trading.models import Standing
from apps.trading.services import connecting, keys
from tests import factories
from tests.flow.worlds import World, account, eventually, instruments
from tests.trading import echo_broker
from tests.trading.echo_broker import Venue
from tests.trading.keys_world import KEY, SECRET
from tests.trading.orders import wishes

pytestmark = pytest.mark.faults
CANARIES = (KEY.encode(), SECRET.encode())


@pytest.fixture
def venue() -> Iterator[Venue]:
    with echo_broker.venue() as made:
        yield made


def test_workers_that_trade_with_a_key_write_it_nowhere(world: World, venue: Venue, settings: Settings) -> None:
    settings.KEY_FILE = world.folder / "broker_keys"
    keyfile.create(settings.KEY_FILE)
    (btc,) = instruments("BTC-USD")
    factories.set_quote(btc, "100")
    trader = account()
    venue.status = 503
    wanted = keys.NewCredential(
        owner_id=trader.owner_id,
        name="main",
        broker="alpaca",
        secrets=keys.Secrets(key=KEY, secret=SECRET),
        address=venue.url,
    )
    credential = keys.store(wanted, now=factories.now()).credential
    connecting.connect(trader.pk, connecting.Route(broker="alpaca", credential_id=credential.pk))
    trader.refresh_from_db()
    Standing.objects.create(account=trader, clean_at=factories.now())
    for name in ("worker-orders", "sweeper"):
        world.start(name)
    world.wait_for("worker-orders", "sweeper")
    # The start of a site doubts every account at a broker, and this venue only echoes: it is agreed with by hand.
    eventually(lambda: Standing.objects.filter(account=trader, clean_at=None).exists())
    Standing.objects.filter(account=trader).update(clean_at=factories.now())
    factories.set_quote(btc, "100")
    order = wishes.enter(trader, btc)
    eventually(
        lambda: (
            masking.MASK in factories.fresh(order).why
            and masking.MASK in world.log("worker-orders") + world.log("sweeper")
        ),
        explain=lambda: f"{factories.fresh(order).why} {logged(world)}",
    )
    assert any(asked.get("Apca-Api-Secret-Key", asked.get("APCA-API-SECRET-KEY")) == SECRET for asked in venue.asked)
    venue.status = 422
    later = wishes.enter(trader, btc)
    eventually(lambda: factories.fresh(later).status == "rejected", explain=lambda: str(vars(factories.fresh(later))))
    assert masking.MASK in factories.fresh(later).why
    logs = {path.name: path.read_bytes() for path in world.folder.glob("*.log")}
    assert [name for name, text in logs.items() if any(canary in text for canary in CANARIES)] == []
    assert clean(rows(world.database_url))
    assert clean(messages(world.redis_url))


def logged(world: World) -> str:
    return world.log("worker-orders") + world.log("sweeper")


def clean(text: bytes) -> bool:
    return bool(text) and not any(canary in text for canary in CANARIES)


def rows(url: str) -> bytes:
    """Return every row of every table as text."""
    found = []
    with contextlib.closing(psycopg2.connect(url)) as link, link.cursor() as cursor:
        cursor.execute("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t")
            found.append(cursor.fetchone()[0].encode())
    return b"\n".join(found)


def messages(url: str) -> bytes:
    """Return everything in Redis as Redis itself writes it down."""
    with redis.Redis.from_url(url) as client:
        return b"\n".join([key + (client.dump(key) or b"") for key in client.keys("*")])
