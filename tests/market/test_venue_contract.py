"""Every feed keeps the same promises, whatever its venue speaks: one test over all that are registered."""

import threading
import time
from collections.abc import Iterator

import pytest

from apps.domain.feed_rules import instant_ns
from apps.market.feeds import FEEDS
from apps.market.feeds.base import FeedConfig, FeedStatus, Numbering
from apps.market.feeds.rest import FeedUnavailable
from tests.market.dialects import Print
from tests.market.following import Recorder, fates, wait_for
from tests.market.stages import GARBAGE, Connected, Stage, stage_of, staged, texts


def connected() -> list[str]:
    return [name for name in FEEDS.names() if name != "file"]


@pytest.fixture(params=FEEDS.names())
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with staged(request.param) as found:
        yield found


@pytest.fixture(params=connected())
def venue(request: pytest.FixtureRequest) -> Iterator[Connected]:
    with staged(request.param) as found:
        assert isinstance(found, Connected)
        yield found


def played(stage: Stage, *steps: Print | bytes) -> None:
    """Play before the feed begins where the source is a file, and let the caller's `with` do the rest."""
    if isinstance(stage, Connected):
        threading.Thread(target=stage.play, args=steps, daemon=True).start()
    else:
        stage.play(*steps)


def prices(stage: Stage, *values: str, **changes: object) -> list[Print]:
    return [Print(symbol=stage.symbol, n=n, price=value, **changes) for n, value in enumerate(values, 1)]


def test_a_print_comes_out_in_the_one_shape(stage: Stage) -> None:
    played(stage, *prices(stage, "100.10", "100.20", size="0.040", side="sell", bid="100.05", ask="100.25"))
    with stage.followed() as (feed, sink):
        wait_for(lambda: "100.20" in texts(sink, stage.symbol))
        tick = sink.ticks[-1]
    assert (tick.symbol, tick.text, tick.price) == (stage.symbol, "100.20", 100.2)
    assert (tick.bid, tick.ask) == ("100.05", "100.25")
    assert tick.side == ("sell" if stage.sides else "")
    assert tick.size == ("0" if stage.name == "ccxt" else "0.040")
    assert tick.trade_id == (0 if feed.numbering is Numbering.NONE else 2)
    venue_ns = instant_ns(tick.venue_time)
    assert venue_ns is not None
    assert abs(tick.received_ns - venue_ns) < 5e9
    assert abs(tick.received_ns - time.time_ns()) < 10e9
    assert not tick.refilled
    assert not tick.off_market


@pytest.mark.parametrize("text", ["105944.20", "0.00000638", "4955.9", "7", "0.1", "1234567.12345678"])
def test_digits_arrive_as_they_were_sent(stage: Stage, text: str) -> None:
    played(stage, *prices(stage, text, bid="1", ask="2"))
    with stage.followed() as (_, sink):
        wait_for(lambda: texts(sink, stage.symbol))
        assert texts(sink, stage.symbol) == [text]
        assert sink.ticks[0].price == float(text)


def test_garbage_costs_nothing_but_itself(stage: Stage) -> None:
    first, second = prices(stage, "100.00", "100.10")
    played(stage, first, GARBAGE, second)
    with stage.followed() as (feed, sink):
        wait_for(lambda: "100.10" in texts(sink, stage.symbol))
        assert texts(sink, stage.symbol) == ["100.00", "100.10"]
        if stage.name != "ccxt":  # ccxt keeps what it cannot read to itself
            assert feed.counters.garbage == 1
            assert GARBAGE.startswith(feed.counters.samples[0].start)
        assert feed.counters.sessions == 1


def test_a_print_counts_once_and_a_late_one_not_at_all(stage: Stage) -> None:
    now = time.time()
    one, two, three = (Print(symbol=stage.symbol, n=n, price=f"100.{n}0", at=now + n / 1000) for n in (1, 2, 3))
    played(stage, one, two, two, one, three)
    with stage.followed() as (feed, sink):
        wait_for(lambda: "100.30" in texts(sink, stage.symbol))
        time.sleep(0.05)
        assert texts(sink, stage.symbol) == ["100.10", "100.20", "100.30"]
        assert feed.counters.duplicates + feed.counters.out_of_order >= 2
        assert sink.gaps == []


def test_every_message_has_one_fate(stage: Stage) -> None:
    one, two = prices(stage, "100.00", "100.10")
    jump = Print(symbol=stage.symbol, n=3, price="900")
    last = Print(symbol=stage.symbol, n=4, price="100.20")
    played(stage, one, GARBAGE, two, two, jump, last)
    with stage.followed() as (feed, sink):
        wait_for(lambda: "100.20" in texts(sink, stage.symbol))
    assert fates(feed) == feed.counters.received
    assert feed.counters.rejected["jump"] == 1
    assert "900" not in texts(sink, stage.symbol)


def test_a_missing_number_is_a_gap_where_the_venue_counts(stage: Stage) -> None:
    played(stage, Print(symbol=stage.symbol, n=1), Print(symbol=stage.symbol, n=5, price="100.10"))
    with stage.followed() as (feed, sink):
        wait_for(lambda: "100.10" in texts(sink, stage.symbol))
        counts = feed.numbering is Numbering.CONSECUTIVE
        assert sink.gaps == ([(stage.symbol, 2, 4)] if counts else [])
        assert feed.counters.missing == (3 if counts else 0)


def test_an_old_first_price_is_shown_and_no_news(stage: Stage) -> None:
    old = Print(symbol=stage.symbol, n=1, age=107.0)
    played(stage, old, Print(symbol=stage.symbol, n=2, price="100.10"))
    with stage.followed() as (feed, sink):
        wait_for(lambda: "100.10" in texts(sink, stage.symbol))
        assert [tick.snapshot for tick in sink.ticks] == [True, False]
        assert feed.counters.snapshots == 1


def test_only_what_is_followed_comes_through_and_known_numbers_are_gone_on_from(stage: Stage) -> None:
    played(stage, Print(symbol=stage.symbol, n=8))
    with stage.followed(known_trade_ids={stage.symbol: 7}) as (feed, sink):
        assert feed.last_trade_id(stage.symbol) >= 7
        assert feed.last_trade_id(stage.other) == 0
        wait_for(lambda: sink.ticks)
        assert sink.gaps == []
        assert feed.last_trade_id(stage.symbol) == (7 if feed.numbering is Numbering.NONE else 8)
        assert feed.last_price(stage.symbol) == 100.0
        assert feed.last_price(stage.other) == 0.0


def test_a_quiet_market_is_alive(venue: Connected) -> None:
    with venue.followed() as (feed, sink):
        venue.play(Print(symbol=venue.symbol, n=1))
        wait_for(lambda: sink.ticks)
        before = len(sink.beats)
        time.sleep(venue.timings.kill_after * 1.3)
        assert feed.state().status is FeedStatus.LIVE
        assert feed.counters.sessions == 1
        assert {symbol for symbol, _ in sink.beats[before:]} == {venue.symbol}
        assert len(sink.ticks) == 1


def test_a_lost_connection_is_mended_and_everything_subscribed_again(venue: Connected) -> None:
    with venue.followed(venue.symbol, venue.other) as (feed, sink):
        venue.play(Print(symbol=venue.symbol, n=1), Print(symbol=venue.other, n=1))
        wait_for(lambda: len(sink.ticks) == 2)
        venue.hang_up()
        wait_for(lambda: FeedStatus.DOWN in {state.status for state in sink.states})
        wait_for(lambda: feed.counters.sessions == 2)
        venue.play(Print(symbol=venue.symbol, n=5, price="100.50"), Print(symbol=venue.other, n=2, price="100.60"))
        wait_for(lambda: {"100.50"} <= set(texts(sink, venue.symbol)) and "100.60" in texts(sink, venue.other))
        assert sum(feed.counters.reconnects.values()) == 1
        if feed.numbering is Numbering.CONSECUTIVE:
            assert sink.gaps == [(venue.symbol, 2, 4)]
            assert sink.blinds == []
        else:
            assert sink.gaps == []
            assert sorted(symbol for symbol, _, _ in sink.blinds) == sorted([venue.symbol, venue.other])
            assert all(0 < since < until for _, since, until in sink.blinds)


def test_silence_is_noticed_and_ends_the_session(venue: Connected) -> None:
    with venue.followed() as (feed, sink):
        venue.play(Print(symbol=venue.symbol, n=1))
        wait_for(lambda: sink.ticks)
        venue.fall_silent(True)
        wait_for(lambda: "silent" in sink.reasons(FeedStatus.STALE))
        wait_for(lambda: "silent" in sink.reasons(FeedStatus.DOWN))
        venue.fall_silent(False)

        def played_again() -> bool:
            venue.play(Print(symbol=venue.symbol, n=2, price="100.10"))  # the first one may go to the dying connection
            time.sleep(0.05)
            return "100.10" in texts(sink, venue.symbol)

        wait_for(played_again, seconds=8)
        assert feed.counters.reconnects["silent"] >= 1
        assert feed.state().status is FeedStatus.LIVE


def test_a_product_the_venue_does_not_have_costs_the_others_nothing(venue: Connected) -> None:
    with venue.followed(venue.symbol, venue.unknown, venue.other) as (feed, sink):
        venue.play(Print(symbol=venue.symbol, n=1), Print(symbol=venue.other, n=1))
        wait_for(lambda: {tick.symbol for tick in sink.ticks} == {venue.symbol, venue.other})
        wait_for(lambda: sink.refusals)
        assert {symbol for symbol, _ in sink.refusals} == {venue.unknown}
        assert all(reason for _, reason in sink.refusals)
        assert feed.products() == {venue.symbol, venue.unknown, venue.other}
        assert feed.counters.sessions == 1


def test_products_come_and_go_while_it_runs(venue: Connected) -> None:
    with venue.followed() as (feed, sink):
        venue.play(Print(symbol=venue.symbol, n=1))
        wait_for(lambda: sink.ticks)
        feed.add_products([venue.other])
        venue.play(Print(symbol=venue.other, n=1))
        wait_for(lambda: venue.other in {tick.symbol for tick in sink.ticks})
        feed.remove_products([venue.symbol])
        assert feed.products() == {venue.other}
        count = len(texts(sink, venue.symbol))
        venue.play(Print(symbol=venue.other, n=2, price="100.30"))
        wait_for(lambda: "100.30" in texts(sink, venue.other))
        assert len(texts(sink, venue.symbol)) == count
        assert feed.counters.sessions == 1


@pytest.mark.parametrize("name", FEEDS.names())
def test_a_feed_ends_at_once_even_where_nobody_answers(name: str) -> None:
    sink, stage = Recorder(), stage_of(name)
    given = {"ws_url": "ws://127.0.0.1:1", **stage.config(), "rest_url": "http://127.0.0.1:1"}
    stage.close()
    given["ws_url"] = "ws://127.0.0.1:1"
    feed = FEEDS.get(name)(FeedConfig(products=("A-USD",), known_trade_ids={"A-USD": 7}, **given), sink)
    assert feed.name == name
    assert feed.title
    assert feed.state().status is FeedStatus.DOWN
    assert feed.last_trade_id("A-USD") == 7
    feed.add_products(["B-USD", "B-USD"])
    feed.remove_products(["A-USD", "C-USD"])
    assert feed.products() == {"B-USD"}
    rest = feed.rest()
    for question in (rest.time, rest.products, lambda: rest.ticker("B-USD")):
        rest.close()
        with pytest.raises(FeedUnavailable):
            question()
    thread = threading.Thread(target=feed.run)
    thread.start()
    time.sleep(0.05)
    feed.stop()
    thread.join(timeout=1.0)
    assert not thread.is_alive()
    assert not sink.ticks
    assert sink.states[-1].status is FeedStatus.DOWN
