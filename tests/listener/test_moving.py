"""An instrument that changes hands between shards: one lets go when the other has begun, and neither misses a price."""

from collections.abc import Iterator
from datetime import timedelta
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
from workers.listener.handover import Handover
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
    ear.sources = sources
    yield made
    sources.stop()


def row(symbol: str, key: int, known: int) -> Followed:
    return Followed(key, symbol, "coinbase", "", "", known, "coinbase", 0.2)


def test_an_instrument_that_joins_a_running_feed_goes_on_from_the_trade_known_of_it(
    ear: Ear, started: list[Source]
) -> None:
    sources: Sources = ear.sources
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
    sources: Sources = ear.sources
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
    sources: Sources = ear.sources
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
    sources: Sources = ear.sources
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


class Shard:
    """The listener that an instrument leaves, at its looks at the instruments."""

    def __init__(self, instrument: Instrument) -> None:
        self.parts = Parts(instrument, epoch=3)
        self.handover = Handover(0, self.parts.watcher)

    def look(self) -> list[str]:
        return [row.symbol for row in self.handover.with_leaving(watches.instruments(0))]


@pytest.fixture
def left(instrument: Instrument) -> Shard:
    """A shard that has heard a price, and whose instrument is on another one now."""
    shard = Shard(instrument)
    Quote.objects.all().delete()
    shard.look()
    shard.parts.tick(tick("100", 1))
    shard.parts.flusher.step()
    moved(instrument, 1)
    return shard


def heard_elsewhere(ms: float) -> None:
    """Let another listener write the quote of a trade."""
    Quote.objects.update(at=from_ns(START_NS) + timedelta(milliseconds=ms))


@on_tables
def test_an_instrument_that_was_moved_is_let_go_of_after_its_new_listener_has_begun(left: Shard) -> None:
    assert left.look() == [SYMBOL]
    heard_elsewhere(ms=0)
    assert left.look() == [SYMBOL], "that trade was heard here before the move"
    left.parts.tick(tick("99", 2, ms=7))
    heard_elsewhere(ms=3)
    assert left.look() == []
    assert left.handover.shards == {0}


@on_tables
def test_the_listener_that_is_left_writes_nothing_that_it_takes_for_its_followers(left: Shard) -> None:
    left.parts.tick(tick("99", 2, ms=7))
    assert left.look() == [SYMBOL]
    left.parts.tick(tick("98", 3, ms=9))
    left.parts.flusher.step()
    assert left.look() == [SYMBOL]


@on_tables
def test_levels_of_an_instrument_are_followed_until_it_is_let_go_of(
    left: Shard, account: Account, instrument: Instrument
) -> None:
    left.parts.levels.start()
    left.look()
    left.parts.levels.shards = left.handover.shards
    factories.set_quote(instrument, "100")
    factories.opened(account, instrument, stop("95"))
    left.parts.levels.poll()
    assert len(left.parts.watcher.by_id[instrument.pk].book) == 1


@on_tables
def test_what_nobody_has_to_compare_is_let_go_of_at_once(left: Shard, instrument: Instrument) -> None:
    Instrument.objects.filter(pk=instrument.pk).update(enabled=False)
    assert left.look() == []


@on_tables
@pytest.mark.parametrize("gone", [{"enabled": False, "shard": 0}, {"shard": 1}])
def test_an_instrument_that_was_switched_off_or_never_heard_is_let_go_of_at_once(
    instrument: Instrument, gone: dict[str, int]
) -> None:
    shard = Shard(instrument)
    assert shard.look() == [SYMBOL]
    Instrument.objects.filter(pk=instrument.pk).update(**gone)
    assert shard.look() == []


@on_tables
def test_an_instrument_that_comes_back_is_the_shards_own_again(left: Shard, instrument: Instrument) -> None:
    left.look()
    moved(instrument, 0)
    heard_elsewhere(ms=9)
    assert left.look() == [SYMBOL]


@on_tables
def test_a_sign_of_life_is_not_written_of_an_instrument_that_is_anothers(left: Shard) -> None:
    before = Quote.objects.get().heard_at
    left.parts.watcher.tapes[SYMBOL].heard_ns = START_NS + 60_000_000_000
    left.parts.flusher.step()
    assert Quote.objects.get().heard_at == before
