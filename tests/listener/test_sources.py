"""Two feeds of one instrument: only the one that counts fires exits, and a silent one is given up in time."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from apps.market.feeds.base import FeedState, FeedStatus
from apps.market.feeds.switch import Pair, Switchboard, SwitchRules
from apps.trading.watches import Followed
from tests.listener.feeding import SYMBOL, Ear, stop, tick
from workers.listener.sources import Source, Sources

NOW = datetime(2026, 1, 5, tzinfo=UTC)
RULES = SwitchRules(silent_after=0.2, live_within=0.2, healthy_for=0.3, longest_pause=0.2, stay_at_least=0.1)


@pytest.fixture
def ear() -> Ear:
    return Ear()


def two(ear: Ear) -> tuple[Switchboard, Source, Source]:
    """Make two sources of the ear's tape; prices count from the first."""
    board = Switchboard(RULES)
    first, second = (Source(name, ear.watcher, board) for name in ("coinbase", "binance"))
    second.tapes[SYMBOL] = ear.tape
    first.adopt([ear.tape])
    ear.tape.has_two = True
    board.follow([Pair(instrument=SYMBOL, primary="coinbase", fallback="binance")], time.monotonic())
    return board, first, second


def test_only_the_source_that_counts_fires(ear: Ear) -> None:
    _, first, second = two(ear)
    ear.watcher.load([(1, stop(7, 95.0))])
    second.tick(tick("90", 1))
    second.refilled([tick("90", 2, refilled=True)])
    assert ear.crossings == []
    first.tick(tick("94", 900))
    assert ear.fired() == [(7, "94", 900)]


def test_a_silent_source_is_given_up_for_one_that_lives_and_gone_back_to_when_it_is_well(ear: Ear) -> None:
    board, first, second = two(ear)
    deadline = time.monotonic() + 5
    changes: list[tuple[str, str]] = []
    while len(changes) < 2:
        assert time.monotonic() < deadline
        second.tick(tick("100", 1))
        if changes:
            first.tick(tick("100", 2))
        for switched in board.judge(time.monotonic(), NOW):
            changes.append((switched.from_feed, switched.to_feed))
            ear.tape.source = switched.to_feed
        time.sleep(0.02)
    assert changes == [("coinbase", "binance"), ("binance", "coinbase")]


def test_a_gap_that_is_being_fetched_keeps_quotes_from_claiming_it(ear: Ear) -> None:
    newest = tick("100", 10)
    assert ear.tape.complete_through(newest) == 10
    ear.tape.gap_from = 6
    assert ear.tape.complete_through(newest) == 5


def test_a_lost_source_is_no_longer_heard(ear: Ear) -> None:
    board, first, second = two(ear)
    first.tick(tick("100", 1))
    first.state(FeedState(status=FeedStatus.DOWN, reason="gone", session=1, at_ns=0))
    assert first.status.reason == "gone"
    time.sleep(RULES.silent_after + 0.05)
    second.tick(tick("100", 1))
    assert [change.to_feed for change in board.judge(time.monotonic(), NOW)] == ["binance"]


def test_time_that_nobody_can_tell_of_is_kept_to_be_written_down(ear: Ear) -> None:
    _, first, _ = two(ear)
    first.unseen(SYMBOL, 1_000_000_000, 3_000_000_000, "the venue gives no trades by time")
    first.unseen("ETH-USD", 1, 2, "not followed here")
    (found,) = first.unknown
    assert (found[0], found[2] - found[1], found[3]) == (
        ear.tape.instrument_id,
        timedelta(seconds=2),
        "the venue gives no trades by time",
    )
    assert ear.watcher.blind_seconds == pytest.approx(2.0)


def test_an_instrument_that_left_and_came_back_has_its_levels_read_anew(ear: Ear) -> None:
    started: list[Source] = []
    sources = Sources(ear.watcher, started.append)
    row = Followed(1, SYMBOL, "coinbase", "", "", 0, "", 0.2)
    try:
        sources.follow([row])
        sources.follow([row])
        ear.watcher.load([(1, stop(7, 95.0))])
        sources.follow([])
        started[0].tick(tick("90", 1))  # still under way when it was given up
        assert ear.crossings == []
        sources.follow([row])
        assert len(ear.watcher.by_id[1].book) == 0
    finally:
        sources.stop()


def test_an_instruments_jump_band_reaches_its_feed(ear: Ear) -> None:
    ear.tape.jump_band = 0.5
    source = Source("coinbase", ear.watcher, Switchboard())
    source.adopt([ear.tape])
    source.open({})
    try:
        assert source.feed is not None
        source.feed.opened(lambda _: None)
        for number, price in enumerate(("100", "100", "140", "300"), start=1):
            source.feed.text(ticker(number, price), time.time_ns())
        assert [item.text for item in ear.tape.ring] == ["100", "100", "140"]
        assert source.feed.counters.rejected.total() == 1
    finally:
        assert source.refiller is not None
        source.refiller.stop()


def ticker(number: int, price: str) -> bytes:
    """Write a print of now as the venue would."""
    at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    message = {
        "type": "ticker",
        "product_id": SYMBOL,
        "price": price,
        "trade_id": number,
        "sequence": number,
        "time": at,
    }
    return json.dumps(message).encode()
