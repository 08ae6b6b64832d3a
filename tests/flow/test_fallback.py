"""An instrument with two venues: one falls silent, the other's prices count, and back. No stop waits for either."""

import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

import pytest
import requests

from apps.access import services as access
from apps.access.models import Scope
from apps.domain.errors import Refused
from apps.domain.legs import Leg, LegKind
from apps.domain.sides import Side
from apps.journal.models import Event
from apps.market.models import FeedStatus, Instrument, Quote
from apps.trading.models import Account, Exit, Position
from apps.trading.services import positions
from apps.trading.services.positions import NoQuote
from tests.flow import worlds
from tests.flow.worlds import World, as_json, eventually
from tests.market.dialects import Print
from tests.market.stages import Streamed

SYMBOL, THERE = "BTC-USD", "BTC/USD"


class Second:
    """Kraken on loopback: a trade five times a second, and whatever price a test wants."""

    def __init__(self) -> None:
        self.stage = Streamed("kraken")
        self.price = "100.50"
        self._numbers = count(1)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join(10)
        self.stage.close()

    def _run(self) -> None:
        while not self._ending.wait(0.2):
            self.stage.play(Print(symbol=THERE, n=next(self._numbers), price=self.price, bid="99.00", ask="101.00"))


@contextmanager
def calm(world: World) -> Iterator[None]:
    """Let the first venue trade at 100 five times a second; while it is stopped nobody trades there."""
    exchange = world.open_exchange("--rate", "none", "--products", SYMBOL)
    ending = threading.Event()

    def run() -> None:
        with requests.Session() as session:
            while not ending.wait(0.2):
                body = [{"product_id": SYMBOL, "price": "100.00"}]
                try:
                    session.post(f"{exchange.rest_url}/_sim/trades", json=body, timeout=1)
                except requests.RequestException:
                    continue

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(10)


@pytest.fixture
def second() -> Iterator[Second]:
    with closing(Second()) as made:
        yield made


def prices_come_from(feed: str, price: str) -> bool:
    return Quote.objects.filter(feed=feed, price=Decimal(price), instrument__symbol=SYMBOL).exists()


def ways() -> list[tuple[str, str]]:
    events = Event.objects.filter(kind="feed.switched").order_by("pk")
    return [(event.payload["from"], event.payload["to"]) for event in events]


def hold(account: Account, instrument: Instrument, stop: str) -> Position:
    wish = positions.Opening(
        account_id=account.pk,
        instrument_id=instrument.pk,
        side=Side.LONG,
        quantity=Decimal(1),
        legs=(Leg(kind=LegKind.STOP_LOSS, level=Decimal(stop)),),
    )

    def attempt() -> Position | None:
        try:
            return positions.open_position(wish, now=datetime.now(UTC)).position
        except (NoQuote, Refused):
            return None

    found: Position = eventually(attempt)
    return found


@pytest.mark.faults
def test_a_silent_venue_is_replaced_by_the_second_and_taken_back_when_it_is_well(world: World, second: Second) -> None:
    (instrument,) = worlds.instruments(SYMBOL)
    Instrument.objects.update(fallback_feed="kraken", fallback_symbol=THERE)
    account = worlds.account()
    world.extra |= {"FEED_KRAKEN_WS_URL": str(second.stage.config()["ws_url"]), "FEED_KRAKEN_REST_URL": _nowhere()}
    with calm(world):
        for name in ("listener", "sweeper", "worker-exits", "web"):
            world.start(name)
        world.wait_for("listener", "sweeper", "worker-exits")
        second.start()
        eventually(lambda: prices_come_from("coinbase", "100.00"))
        pid = world.running["listener"].pid
        early = hold(account, instrument, "95")

        world.kill("simulator", signal.SIGSTOP)
        eventually(lambda: prices_come_from("kraken", "100.50"))
        assert ways() == [("coinbase", "kraken")]
        assert "silent for" in Event.objects.get(kind="feed.switched").payload["why"]
        eventually(lambda: _state("coinbase") != "live")
        assert _state("kraken") == "live"
        assert _told(world, account)["feed"] == "kraken"
        late = hold(account, instrument, "96")
        second.price = "94.80"
        _is_left(early, "94.80")
        _is_left(late, "94.80")

        second.price = "100.50"
        world.kill("simulator", signal.SIGCONT)
        eventually(lambda: _state("coinbase") == "live")
        assert ways() == [("coinbase", "kraken")], "one that is back has to prove itself first"
        eventually(lambda: prices_come_from("coinbase", "100.00"), 90)
        assert ways() == [("coinbase", "kraken"), ("kraken", "coinbase")]
        assert "healthy for" in Event.objects.filter(kind="feed.switched").latest("pk").payload["why"]
        assert _told(world, account)["feed"] == "coinbase"
        last = hold(account, instrument, "97")
        second.price = "90.00"  # does not count any more
        threading.Event().wait(1.5)
        assert Position.objects.get(pk=last.pk).status == "open"
        assert world.running["listener"].pid == pid
        assert world.running["listener"].poll() is None
    checked = world.manage("verify", "--json")
    assert as_json(checked.stdout)["ok"] is True, checked.stdout


def _is_left(position: Position, price: str) -> None:
    eventually(lambda: Position.objects.get(pk=position.pk).status == "closed", 5)
    exit_ = Exit.objects.get(position=position)
    assert (exit_.trigger_price, exit_.source) == (Decimal(price), "listener")


def _state(feed: str) -> str:
    row = FeedStatus.objects.filter(name=f"{feed}:0").first()
    return row.state if row else ""


def _told(world: World, account: Account) -> dict[str, str]:
    """Return what the site's own API says of the quote."""
    token = access.create_token(user=account.owner, scope=Scope.READ, now=datetime.now(UTC)).text
    url = f"http://127.0.0.1:{world.ports['WEB_PORT']}/api/v1/market/quotes"
    headers = {"Authorization": f"Bearer {token}"}

    def ask() -> list[dict[str, str]]:
        try:
            answer = requests.get(url, params={"symbols": SYMBOL}, headers=headers, timeout=5)
        except requests.ConnectionError:
            return []  # not up yet
        assert answer.ok, answer.text
        return list(answer.json()["results"])

    return dict(eventually(ask)[0])


def _nowhere() -> str:
    return f"http://127.0.0.1:{worlds.free_port()}"
