"""Every declared hole ends filled or reported, and prices keep coming while the socket is silent."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from apps.domain.ticks import Tick
from apps.market.feeds import ranges
from apps.market.feeds.asking import RefillTimings
from apps.market.feeds.coinbase_rest import CoinbaseRest
from apps.market.feeds.refill import Refiller
from tests.market.answering import Answer, RestVenue, answering, good, trade, trades_between
from tests.market.following import following, wait_for
from tests.market.test_feed_rest import QUICK as QUICK_REST
from tests.market.venue import Peer, running, ticker

QUICK = RefillTimings(linger=0.02, attempts=3, retry_base=0.02, retry_cap=0.1, poll_every=0.1)
ONCE = replace(QUICK_REST, attempts=1)


class Kept:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.deliveries: list[list[Tick]] = []
        self.holes: list[tuple[str, int, int, str]] = []

    def refilled(self, ticks: list[Tick]) -> None:
        self.deliveries.append(ticks)

    def uncovered(self, symbol: str, first_id: int, last_id: int, reason: str) -> None:
        self.holes.append((symbol, first_id, last_id, reason))

    def ids(self, symbol: str = "BTC-USD") -> list[int]:
        return [tick.trade_id for ticks in self.deliveries for tick in ticks if tick.symbol == symbol]


@contextmanager
def refilling(
    venue: RestVenue, *, timings: RefillTimings = QUICK, known: dict[str, int] | None = None, price: float = 0.0
) -> Iterator[tuple[Refiller, Kept]]:
    kept, seen = Kept(), known or {}
    refiller = Refiller(
        CoinbaseRest(venue.url, ONCE),
        kept,
        last_trade_id=lambda symbol: seen.get(symbol, 0),
        last_price=lambda symbol: price,
        timings=timings,
    )
    refiller.start()
    try:
        yield refiller, kept
    finally:
        assert refiller.alive()
        assert refiller.stop(timeout=2)


def test_a_hole_is_fetched_and_delivered_in_order() -> None:
    with (
        answering(lambda path, query, _: trades_between(1, 5000, query)) as venue,
        refilling(venue) as (refiller, kept),
    ):
        refiller.request("BTC-USD", 10, 2600)
        wait_for(refiller.idle)
        assert kept.ids() == list(range(10, 2601))
        assert [len(ticks) for ticks in kept.deliveries] == [1000, 1000, 591]
        assert kept.holes == []
        assert refiller.counters.delivered == refiller.counters.requested == 2591


def test_many_small_holes_of_a_product_are_one_question() -> None:
    with (
        answering(lambda path, query, _: trades_between(1, 5000, query)) as venue,
        refilling(venue) as (refiller, kept),
    ):
        for first in range(100, 500, 4):
            refiller.request("BTC-USD", first, first + 1)
        wait_for(refiller.idle)
        assert kept.ids() == [trade_id for trade_id in range(100, 500) if trade_id % 4 < 2]
        assert len(venue.asked) <= 3


def test_trades_that_the_venue_shows_late_are_asked_for_again() -> None:
    def respond(path: str, query: dict[str, str], number: int) -> Answer:
        return trades_between(1, 12 if number == 1 else 20, query)

    with answering(respond) as venue, refilling(venue) as (refiller, kept):
        refiller.request("BTC-USD", 10, 15)
        wait_for(refiller.idle)
        assert kept.ids() == [10, 11, 12, 13, 14, 15]
        assert kept.holes == []


def test_trades_that_never_show_are_reported_and_the_others_delivered() -> None:
    lost = frozenset({12, 13, 16})
    with (
        answering(lambda path, query, _: trades_between(1, 20, query, lost=lost)) as venue,
        refilling(venue) as (refiller, kept),
    ):
        refiller.request("BTC-USD", 10, 18)
        wait_for(refiller.idle)
        assert kept.ids() == [10, 11, 14, 15, 17, 18]
        assert [hole[:3] for hole in kept.holes] == [("BTC-USD", 12, 13), ("BTC-USD", 16, 16)]
        assert refiller.counters.uncovered == 3


def test_a_hole_that_is_too_wide_is_filled_from_its_newest_end() -> None:
    timings = replace(QUICK, max_range=100)
    with (
        answering(lambda path, query, _: trades_between(1, 5000, query)) as venue,
        refilling(venue, timings=timings) as (refiller, kept),
    ):
        refiller.request("BTC-USD", 1, 1000)
        wait_for(refiller.idle)
        assert kept.ids() == list(range(901, 1001))
        assert kept.holes == [("BTC-USD", 1, 900, "more than 100 trades")]


def test_a_venue_that_fails_for_a_while_is_asked_until_it_answers() -> None:
    def respond(path: str, query: dict[str, str], number: int) -> Answer | None:
        return (None, (500, {}, b""))[number % 2] if number < 3 else trades_between(1, 50, query)

    with answering(respond) as venue, refilling(venue) as (refiller, kept):
        refiller.request("BTC-USD", 5, 6)
        wait_for(refiller.idle)
        assert kept.ids() == [5, 6]
        assert refiller.counters.failures >= 2


def test_a_refusal_for_good_is_reported_at_once_and_the_other_product_goes_on() -> None:
    def respond(path: str, query: dict[str, str], _: int) -> Answer:
        return (404, {}, b"NotFound") if "BAD" in path else trades_between(1, 50, query)

    with answering(respond) as venue, refilling(venue) as (refiller, kept):
        refiller.request("BAD-USD", 5, 6)
        refiller.request("BTC-USD", 7, 8)
        wait_for(refiller.idle)
        assert kept.ids() == [7, 8]
        assert [hole[:3] for hole in kept.holes] == [("BAD-USD", 5, 6)]
        assert "404" in kept.holes[0][3]


def test_a_full_queue_is_reported_and_not_waited_for() -> None:
    kept = Kept()
    refiller = Refiller(
        CoinbaseRest("http://127.0.0.1:1", ONCE),
        kept,
        last_trade_id=lambda symbol: 0,
        timings=replace(QUICK, max_waiting=2),
    )
    for first in (10, 20, 30):
        refiller.request("BTC-USD", first, first + 1)
    assert kept.holes == [("BTC-USD", 30, 31, "too many holes are waiting")]
    assert refiller.stop()


def answer_ticker(path: str, query: dict[str, str], number: int) -> Answer:
    return good(
        {
            "trade_id": 100 + number // 4,
            "price": "100.5",
            "size": "1",
            "bid": "100.4",
            "ask": "100.6",
            "time": "2026-01-05T12:00:00Z",
        }
    )


def test_tickers_are_polled_while_asked_for_and_only_news_is_delivered() -> None:
    with (
        answering(answer_ticker) as venue,
        refilling(venue, known={"BTC-USD": 100, "ETH-USD": 100}) as (refiller, kept),
    ):
        refiller.poll(["BTC-USD", "ETH-USD"])
        wait_for(lambda: len(kept.ids()) >= 2 and len(kept.ids("ETH-USD")) >= 2)
        refiller.poll([])
        time.sleep(0.15)
        asked = len(venue.asked)
        time.sleep(0.3)
        assert len(venue.asked) == asked
        assert min(kept.ids()) > 100
        assert kept.ids() == sorted(set(kept.ids()))
        assert all(tick.refilled and not tick.snapshot for ticks in kept.deliveries for tick in ticks)
        rounds = [at for path, _, at in venue.asked if "BTC" in path]
        assert min(later - earlier for earlier, later in itertools.pairwise(rounds)) >= 0.08


def test_the_first_price_ever_is_polled_as_a_snapshot() -> None:
    with answering(answer_ticker) as venue, refilling(venue) as (refiller, kept):
        refiller.poll(["BTC-USD"])
        wait_for(lambda: kept.deliveries)
        assert kept.deliveries[0][0].snapshot


def test_a_refilled_print_off_the_market_is_marked_and_the_market_that_moved_is_not() -> None:
    prices = dict.fromkeys(range(1, 40), "100.00") | {20: "103.00"} | dict.fromkeys(range(30, 40), "104.00")

    def respond(path: str, query: dict[str, str], _: int) -> Answer:
        after, limit = int(query["after"]), int(query["limit"])
        return good([trade(number, prices[number]) for number in range(after - 1, max(after - 1 - limit, 0), -1)])

    with answering(respond) as venue, refilling(venue, price=100.0) as (refiller, kept):
        refiller.request("BTC-USD", 1, 39)
        wait_for(refiller.idle)
        assert [tick.trade_id for ticks in kept.deliveries for tick in ticks if tick.off_market] == [20]
        refiller.request("BTC-USD", 20, 20)
        refiller.request("ETH-USD", 21, 21)
        wait_for(refiller.idle)
        alone = {(ticks[0].symbol, ticks[0].trade_id): ticks[0].off_market for ticks in kept.deliveries[1:]}
        assert alone == {("BTC-USD", 20): True, ("ETH-USD", 21): False}


def test_stopping_takes_no_longer_than_one_answer() -> None:
    with answering(lambda path, query, _: time.sleep(1) or None) as venue:
        kept = Kept()
        slow = CoinbaseRest(venue.url, replace(ONCE, read_timeout=0.5))
        refiller = Refiller(slow, kept, last_trade_id=lambda symbol: 0, timings=QUICK)
        refiller.start()
        refiller.request("BTC-USD", 1, 2)
        wait_for(lambda: venue.asked)
        started = time.monotonic()
        assert refiller.stop(timeout=2)
        assert time.monotonic() - started < 1.5
        assert kept.holes == []


def test_an_outage_of_the_socket_is_filled_to_the_last_trade() -> None:
    def first(peer: Peer) -> None:
        peer.subscribe()
        peer.send(*(ticker("BTC-USD", trade_id) for trade_id in range(1, 11)))

    def second(peer: Peer) -> None:
        peer.subscribe()
        peer.send(*(ticker("BTC-USD", trade_id) for trade_id in range(31, 41)))
        peer.hold()

    with (
        answering(lambda path, query, _: trades_between(1, 40, query)) as rest,
        running(first, second) as venue,
        refilling(rest) as (refiller, kept),
        following(venue) as (_, sink),
    ):
        plain = sink.gap

        def gap(symbol: str, first_id: int, last_id: int) -> None:
            plain(symbol, first_id, last_id)
            refiller.request(symbol, first_id, last_id)

        sink.gap = gap
        wait_for(lambda: 40 in sink.ids() and kept.ids() and refiller.idle())
        assert sink.gaps == [("BTC-USD", 11, 30)]
        assert sorted(sink.ids() + kept.ids()) == list(range(1, 41))


_RANGES = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)).map(lambda pair: (pair[0], sum(pair))), max_size=12)


def ids_of(items: list[tuple[int, int]]) -> set[int]:
    return {trade_id for first, last in items for trade_id in range(first, last + 1)}


@given(items=_RANGES, found=st.sets(st.integers(1, 70)))
def test_ranges_are_sets_of_ids(items: list[tuple[int, int]], found: set[int]) -> None:
    joined = ranges.merged(items)
    assert ids_of(joined) == ids_of(items)
    assert ranges.width(joined) == len(ids_of(items))
    assert all(left[1] + 1 < right[0] for left, right in itertools.pairwise(joined))
    left = ranges.without(joined, found)
    assert ids_of(left) == ids_of(items) - found
    assert all(ranges.holds(items, trade_id) == (trade_id in ids_of(items)) for trade_id in range(75))
