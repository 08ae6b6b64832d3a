"""What was traded while nobody listened comes back by time, or is listed as never seen."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from apps.domain.ticks import Tick
from apps.market.feeds.alpaca_rest import AlpacaRest
from apps.market.feeds.asking import RefillTimings
from apps.market.feeds.base import VenueRest
from apps.market.feeds.binance_rest import BinanceRest
from apps.market.feeds.rest import RestTimings
from apps.market.feeds.time_refill import TimeRefiller
from tests.market.answering import Answer, answering, good
from tests.market.following import wait_for

NS = 1_000_000_000
QUICK = RefillTimings(linger=0.01, attempts=3, retry_base=0.02, poll_every=0.05)
FAST = RestTimings(attempts=1, per_second=1000, burst=1000)


@dataclass
class Found:
    ticks: list[Tick] = field(default_factory=list)
    lost: list[tuple[str, int, int, str]] = field(default_factory=list)

    def refilled(self, ticks: list[Tick]) -> None:
        self.ticks += ticks

    def unseen(self, symbol: str, since_ns: int, until_ns: int, reason: str) -> None:
        self.lost.append((symbol, since_ns, until_ns, reason))


@contextmanager
def refilling(rest: VenueRest) -> Iterator[tuple[TimeRefiller, Found]]:
    found = Found()
    refiller = TimeRefiller(rest, found, last_price=lambda symbol: 100.0, timings=QUICK)
    refiller.start()
    try:
        yield refiller, found
    finally:
        assert refiller.stop()


def alpaca(url: str) -> AlpacaRest:
    return AlpacaRest(url, timings=FAST)


def stamp(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // NS, UTC).isoformat().replace("+00:00", "Z")


def test_a_blind_span_is_fetched_by_time_with_an_overlap() -> None:
    until = time.time_ns() // NS * NS
    since = until - 30 * NS
    rows = [{"t": stamp(since + n * NS), "p": 100 + n / 100, "s": 1, "i": 9 - n} for n in range(5)]
    rows.append({"t": stamp(since + 5 * NS), "p": 150, "s": 1, "i": 1})
    with (
        answering(lambda path, query, _: good({"trades": rows, "next_page_token": None})) as venue,
        refilling(alpaca(venue.url)) as (refiller, found),
    ):
        refiller.blind("AAPL", since, until)
        wait_for(refiller.idle)
        wait_for(lambda: found.ticks)
    query = venue.asked[0][1]
    assert datetime.fromisoformat(query["start"]).timestamp() == since / NS - 5
    assert datetime.fromisoformat(query["end"]).timestamp() == until / NS
    assert [tick.text for tick in found.ticks] == ["100.0", "100.01", "100.02", "100.03", "100.04", "150"]
    assert [tick.off_market for tick in found.ticks] == [False] * 5 + [True]
    assert all(tick.refilled for tick in found.ticks)
    assert found.lost == []


def test_a_span_that_does_not_come_is_asked_for_again_and_then_listed() -> None:
    with (
        answering(lambda path, query, _: (500, {}, b"")) as venue,
        refilling(alpaca(venue.url)) as (refiller, found),
    ):
        refiller.blind("AAPL", 1 * NS, 9 * NS)
        wait_for(lambda: found.lost)
        assert refiller.idle()
    assert len(venue.asked) == QUICK.attempts
    assert found.lost[0][:3] == ("AAPL", 1 * NS, 9 * NS)
    assert "500" in found.lost[0][3]


def test_of_a_span_of_days_the_last_hour_is_fetched_and_the_rest_is_listed() -> None:
    until = time.time_ns() // NS * NS
    since, hour = until - 3 * 86_400 * NS, until - 3600 * NS
    with (
        answering(lambda path, query, _: good({"trades": [], "next_page_token": None})) as venue,
        refilling(alpaca(venue.url)) as (refiller, found),
    ):
        refiller.blind("AAPL", since, until)
        wait_for(refiller.idle)
    assert datetime.fromisoformat(venue.asked[0][1]["start"]).timestamp() == hour / NS - 5
    assert found.lost == [("AAPL", since, hour, "more than 3600 s of trades")]


def test_a_venue_without_trades_by_time_leaves_the_span_unseen() -> None:
    with refilling(BinanceRest("http://127.0.0.1:1", timings=FAST)) as (refiller, found):
        refiller.blind("A", 1, 2)
        assert found.lost == [("A", 1, 2, "the venue gives no trades by time")]


def test_last_prices_are_polled_while_the_feed_is_silent_and_told_when_they_are_new() -> None:
    prices = iter([(1, "100"), (1, "100"), (3, "101"), (2, "90"), (4, "102")])
    began = time.time_ns()
    last: list[tuple[int, str]] = []

    def respond(path: str, query: dict[str, str], _: int) -> Answer:
        if (following := next(prices, None)) is not None:
            last.append(following)
        second, price = last[-1]
        at = datetime.fromtimestamp(began / NS - 10 + second, UTC).isoformat().replace("+00:00", "Z")
        return 200, {}, f'{{"trade":{{"t":"{at}","p":{price},"s":1,"i":{100 - second}}}}}'.encode()

    with answering(respond) as venue, refilling(alpaca(venue.url)) as (refiller, found):
        refiller.poll(["AAPL"])
        wait_for(lambda: "102" in [tick.text for tick in found.ticks])
        refiller.poll(())
        time.sleep(0.1)
        polls = refiller.counters.polls
        time.sleep(0.15)
        assert refiller.counters.polls == polls
    assert [(tick.text, tick.snapshot) for tick in found.ticks] == [("100", True), ("101", False), ("102", False)]
