"""An instrument that changes hands between shards: one listener lets go at once, the other misses nothing."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from apps.market.feeds.base import GateRules
from apps.market.feeds.counters import FeedCounters
from apps.market.feeds.gate import Gate
from apps.market.models import Instrument, Quote
from apps.trading import watches
from apps.trading.models import Account, Watermark
from apps.trading.watches import Followed
from tests import factories
from tests.factories import stop, trailing
from tests.listener.feeding import START_NS, SYMBOL, Ear, tick
from tests.listener.feeding import stop as watched_stop
from tests.listener.parts import Parts
from tests.market.following import Recorder
from workers.listener.sources import Source, Sources
from workers.listener.tape import from_ns

on_tables = pytest.mark.django_db(transaction=True)


def moved(instrument: Instrument, shard: int) -> None:
    Instrument.objects.filter(pk=instrument.pk).update(shard=shard)


@on_tables
def test_a_listener_writes_no_quote_of_an_instrument_that_is_anothers(instrument: Instrument) -> None:
    Quote.objects.all().delete()
    parts = Parts(instrument, epoch=3)
    parts.tick(tick("100", 1))
    parts.flusher.step()
    moved(instrument, 1)
    parts.tick(tick("101", 2, ms=5))
    parts.flusher.step()
    assert Quote.objects.get().price == 100
    moved(instrument, 0)
    parts.tick(tick("102", 3, ms=9))
    parts.flusher.step()
    assert Quote.objects.get().price == 102


@on_tables
def test_a_listener_writes_no_watermark_of_an_instrument_that_is_anothers(
    account: Account, instrument: Instrument
) -> None:
    factories.opened(account, instrument, trailing("5"))
    before = Watermark.objects.get().peak
    parts = Parts(instrument, epoch=3)
    parts.levels.start()
    moved(instrument, 1)
    parts.tick(tick("100.5", 1))
    parts.flusher.step()
    assert Watermark.objects.get().peak == before
    moved(instrument, 0)
    parts.tick(tick("100.6", 2, ms=5))
    parts.flusher.step()
    assert Watermark.objects.get().peak == Decimal("100.6")


@on_tables
def test_a_level_that_changes_is_told_to_the_shard_of_now(account: Account, instrument: Instrument) -> None:
    """It was written under the old shard, and becomes visible after the move."""
    factories.opened(account, instrument, stop("95"))
    moved(instrument, 4)
    assert {shard for _, _, shard in watches.changed(0, [], 100)} == {4}


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def started(ear: Ear) -> Iterator[list[Source]]:
    made: list[Source] = []
    sources = Sources(ear.watcher, made.append)
    ear.sources = sources  # type: ignore[attr-defined]
    yield made
    sources.stop()


def row(symbol: str, key: int, known: int) -> Followed:
    return Followed(key, symbol, "coinbase", "", "", known, "coinbase", 0.2)


def test_an_instrument_that_joins_a_running_feed_goes_on_from_the_trade_known_of_it(
    ear: Ear, started: list[Source]
) -> None:
    sources: Sources = ear.sources  # type: ignore[attr-defined]
    sources.follow([row(SYMBOL, 1, 10)])
    sources.follow([row(SYMBOL, 1, 10), row("ETH-USD", 2, 500)])
    feed = started[0].feed
    assert feed is not None
    assert (feed.last_trade_id(SYMBOL), feed.last_trade_id("ETH-USD")) == (10, 500)
    sources.follow([row(SYMBOL, 1, 99)])
    assert feed.last_trade_id(SYMBOL) == 10, "one that is followed goes its own way"


def test_what_was_known_and_not_used_is_forgotten() -> None:
    gate = Gate(sink=Recorder(), counters=FeedCounters(), rules=GateRules(), heartbeat_grace=1.0, known_trade_ids={})
    gate.know({SYMBOL: 5})
    gate.know({"ETH-USD": 7})
    gate.follow([SYMBOL, "ETH-USD"])
    assert (gate.last_trade_id(SYMBOL), gate.last_trade_id("ETH-USD")) == (0, 7)


def test_an_instrument_without_numbers_that_joins_a_running_feed_is_ordered_by_time(
    ear: Ear, started: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEED_REST_OPTIONS", "url=http://127.0.0.1:1/{symbol};price=p")
    sources: Sources = ear.sources  # type: ignore[attr-defined]
    gold = row("GOLD", 3, 0)._replace(feed="rest")
    sources.follow([gold])
    sources.follow([gold, row("SILVER", 4, 0)._replace(feed="rest")])
    assert not ear.watcher.tapes["GOLD"].numbered
    assert not ear.watcher.tapes["SILVER"].numbered


@pytest.mark.parametrize(("seconds", "gaps"), [(60, 1), (2, 0)])
def test_time_in_which_nobody_listened_to_a_feed_without_numbers_is_declared(
    ear: Ear, started: list[Source], monkeypatch: pytest.MonkeyPatch, seconds: int, gaps: int
) -> None:
    monkeypatch.setenv("FEED_REST_OPTIONS", "url=http://127.0.0.1:1/{symbol};price=p")
    sources: Sources = ear.sources  # type: ignore[attr-defined]
    before = START_NS - seconds * 1_000_000_000
    sources.follow([row("GOLD", 3, 0)._replace(feed="rest", trade_feed="rest", heard_ns=before)])
    (source,) = started
    source.heard("GOLD", START_NS)
    source.heard("GOLD", START_NS + 1)
    assert [(since, until) for _, since, until, _ in source.unknown] == [(from_ns(before), from_ns(START_NS))] * gaps


def test_trades_of_the_time_in_which_nobody_listened_are_asked_for_where_the_venue_has_them(
    ear: Ear, started: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"KEY": "K", "SECRET": "S", "REST_URL": "http://127.0.0.1:1"}.items():
        monkeypatch.setenv(f"FEED_ALPACA_{name}", value)
    sources: Sources = ear.sources  # type: ignore[attr-defined]
    before = START_NS - 2_000_000_000
    sources.follow([row("AAPL", 3, 0)._replace(feed="alpaca", trade_feed="alpaca", heard_ns=before)])
    (source,) = started
    source.heard("AAPL", START_NS)
    assert source.refiller is not None
    assert source.refiller.counters.requested == 1
    assert not source.unknown


def test_the_last_ticks_of_an_instrument_that_left_are_kept_to_be_stored(ear: Ear) -> None:
    ear.watcher.load([(1, watched_stop(7, 95.0))])
    ear.watcher.tick(tick("100", 1))
    ear.watcher.keep_only(set())
    assert [[item.text for item in tape.ring] for tape in ear.watcher.given_up] == [["100"]]
    assert ear.watcher.tapes == {}
