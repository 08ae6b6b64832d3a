"""A misbehaving exchange under load: no close at a price that was never made, and what was missed is made up for."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.faults.sites import Supervised
from tests.flow.worlds import SYMBOLS, Cluster, World, eventually

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def running(make_world: Callable[[], World], cluster: Cluster) -> Iterator[Supervised]:
    site = Supervised(make_world(), cluster.servers)
    try:
        site.wait_until_green()
        site.begin()
        yield site
    finally:
        site.close()


@pytest.fixture
def site(running: Supervised) -> Supervised:
    running.exchange.fault("clear")
    running.wait_until_green(30)
    return running


def total(site: Supervised, fact: str) -> int:
    """Add up what the listeners have counted of something."""
    return sum(int(site.facts(site.pid(name))[fact]) for name in ("listener", "listener-standby"))


@pytest.mark.parametrize(
    ("faults", "seconds", "bound"),
    [
        (("drop", "drop"), 2.0, 4.0),
        (("close:1012,restart", "close:1001,bye"), 2.0, 4.0),
        (("stall:3",), 4.0, 5.0),
        (("stall_mid_frame:3",), 4.0, 5.0),
        (("duplicate:100",), 3.0, 4.0),
        (("reorder:20", "reorder:20"), 2.0, 4.0),
        (("replay_old:50", "replay_old:50"), 1.5, 4.0),
        (("garbage:all", "garbage:all"), 1.5, 4.0),
        (("off_market:1.5", "off_market:-1.5", "off_market:5", "off_market:-5"), 0.7, 4.0),
        (("crossed:20", "zero_bid:20"), 1.5, 4.0),
        (("burst:3000,1.5",), 3.0, 4.0),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, tuple) else None,
)
def test_every_crossed_level_is_left_at_a_price_that_was_made(
    site: Supervised, faults: tuple[str, ...], seconds: float, bound: float
) -> None:
    with site.fault(f"feed: {' '.join(faults)}", bound=bound):
        for fault in faults:
            site.exchange.fault(fault)
            time.sleep(seconds)


def test_stops_in_a_gap_trigger_once_the_gap_is_refilled(site: Supervised) -> None:
    before = total(site, "gaps")
    with site.fault("feed: gap of 15 trades, four times", bound=4.0):
        for _ in range(4):
            for symbol in SYMBOLS:
                site.exchange.fault(f"gap:15,{symbol}")
            time.sleep(0.8)
    eventually(lambda: total(site, "gaps") > before, 5)
    # Trades that no client was sent did trigger exits: they can only have come by REST.
    unsent = [row for ledger in site.exchange.journal()["products"].values() for row in ledger["unsent"]]
    ranges = " OR ".join(f"trade_id BETWEEN {first} AND {last}" for first, last, _ in unsent)
    assert site.ask(f"SELECT count(*) FROM trading_exit WHERE status = 'done' AND ({ranges})") > 0


def test_an_exchange_that_falls_silent_for_good_is_left_and_asked_by_rest(site: Supervised) -> None:
    with site.fault("feed: silent without an end, asked by REST after 5 s", bound=9.0):
        site.exchange.fault("stall")
        eventually(lambda: site.facts(site.leader())["feed"] == "stale", 10)
        eventually(lambda: site.facts(site.leader())["feed"] == "live", 15)


def test_garbage_was_counted_and_nothing_was_believed(site: Supervised) -> None:
    before = total(site, "garbage") + total(site, "rejected")
    site.exchange.fault("garbage:all")
    eventually(lambda: total(site, "garbage") + total(site, "rejected") > before, 5)
    site.holds()
