"""Somebody else's exchange: whatever it leaves out or does differently, prices come in and stops are left."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from apps.domain.errors import Refused
from apps.domain.legs import Leg, LegKind
from apps.domain.sides import Side
from apps.journal.models import Pulse
from apps.market.models import FeedStatus, Instrument
from apps.ops import invariants
from apps.trading.models import Account, Exit, Position
from apps.trading.services import positions
from apps.trading.services.positions import NoQuote
from tests.flow import foreign as exchanges
from tests.flow import worlds
from tests.flow.foreign import Foreign, Habits
from tests.flow.worlds import World, eventually

SYMBOL, UNKNOWN = "BTC-USD", "NOPE-USD"


@dataclass
class Site:
    world: World
    foreign: Foreign
    btc: Instrument
    account: Account

    def facts(self) -> dict[str, Any]:
        pulse = Pulse.objects.filter(name="listener:0").order_by("-beat_at").first()
        return pulse.facts if pulse else {}

    def open(self, stop: str) -> Position:
        """Open a long position with a stop as soon as there is a fresh price."""
        wish = positions.Opening(
            account_id=self.account.pk,
            instrument_id=self.btc.pk,
            side=Side.LONG,
            quantity=Decimal(1),
            legs=(Leg(kind=LegKind.STOP_LOSS, level=Decimal(stop)),),
        )

        def attempt() -> Position | None:
            try:
                return positions.open_position(wish, now=datetime.now(UTC)).position
            except (NoQuote, Refused):  # Refused: the price of the test before is still in force
                return None

        found: Position = eventually(attempt, 20, lambda: json.dumps(self.facts()))
        return found


@pytest.fixture(scope="module")
def site(make_world: Callable[[], World]) -> Iterator[Site]:
    with exchanges.running(Foreign({SYMBOL: "100.00"})) as foreign:
        world = make_world()
        world.extra |= {"COINBASE_WS_URL": foreign.ws_url, "COINBASE_REST_URL": foreign.rest_url}
        btc, _ = worlds.instruments(SYMBOL, UNKNOWN)
        for name in ("listener", "sweeper", "worker-exits"):
            world.start(name)
        world.wait_for("listener", "sweeper", "worker-exits")
        yield Site(world, foreign, btc, worlds.account())


HABITS = {
    "as the original": Habits(),
    "no sequence": Habits(sequence=False),
    "heartbeats without a trade id": Habits(last_trade_id=False),
    "tickers without sizes of the book": Habits(sizes=False),
    "no heartbeats at all": Habits(heartbeats=False),
    "no word on unknown products": Habits(refuses="silence"),
    "closes every two seconds": Habits(closes_after=2.0),
    "no REST and closes every two seconds": Habits(rest=False, closes_after=2.0),
    "all at once": Habits(
        sequence=False, last_trade_id=False, sizes=False, heartbeats=False, refuses="silence", closes_after=3.0
    ),
}


@pytest.mark.parametrize("habits", HABITS.values(), ids=HABITS)
def test_a_stop_is_left_whatever_the_exchange_leaves_out(site: Site, habits: Habits) -> None:
    site.foreign.habits = habits
    position = site.open("99.00")
    if habits.closes_after:
        before = site.foreign.connections
        eventually(lambda: site.foreign.connections > before, 15)
    site.foreign.prices[SYMBOL] = "98.90"
    try:
        eventually(lambda: _is_closed(position), 8, lambda: json.dumps(site.facts()))
    finally:
        site.foreign.prices[SYMBOL] = "100.00"
    exit_ = Exit.objects.get(position=position)
    assert (exit_.reason, exit_.trigger_price) == ("stop_loss", Decimal("98.90"))


def _is_closed(position: Position) -> bool:
    return Position.objects.get(pk=position.pk).status == "closed"


def test_an_unknown_product_is_named_and_harms_no_other(site: Site) -> None:
    site.foreign.habits = Habits()
    eventually(lambda: site.facts().get("refused", {}).get(UNKNOWN), 20, lambda: json.dumps(site.facts()))
    assert SYMBOL not in site.facts()["refused"]


def test_an_exchange_that_starts_over_with_low_numbers_is_believed(site: Site) -> None:
    """Its numbering begins anew while nobody of ours runs: the numbers we know are of another life."""
    site.foreign.habits = Habits()
    position = site.open("99.00")
    site.world.stop("listener")
    site.foreign.trade_id = 10
    site.world.start("listener")
    site.world.wait_for("listener")
    site.foreign.prices[SYMBOL] = "98.80"
    try:
        eventually(lambda: _is_closed(position), 8, lambda: json.dumps(site.facts()))
    finally:
        site.foreign.prices[SYMBOL] = "100.00"
    assert Exit.objects.get(position=position).trade_id < 1000


def test_an_exchange_that_goes_away_is_said_to_be_down_and_comes_back(site: Site) -> None:
    position = site.open("99.00")
    site.foreign.habits = Habits(closes_after=0.001, rest=False)
    eventually(lambda: _state() != "live", 20, _state)
    status = FeedStatus.objects.get(name="coinbase:0")
    assert status.reason
    site.foreign.habits = Habits()
    site.foreign.prices[SYMBOL] = "98.50"
    try:
        eventually(lambda: _is_closed(position), 40, lambda: json.dumps(site.facts()))
    finally:
        site.foreign.prices[SYMBOL] = "100.00"
    eventually(lambda: _state() == "live", 40, _state)


def _state() -> str:
    return str(FeedStatus.objects.get(name="coinbase:0").state)


def test_nothing_was_missed_or_doubled(site: Site) -> None:
    assert threading.active_count() < 50
    time.sleep(0.5)
    connection.close()
    assert {finding.id: finding.violations for finding in invariants.check() if finding.violations} == {}
