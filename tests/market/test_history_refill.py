"""Gaps are mended from the venue, trades by number, candles where they are gone; what cannot be had stays listed."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from pytest_django import Settings

from apps.market import store
from apps.market.models import Gap, Instrument
from apps.market.services import gaps, refilling
from apps.market.store import Timeframe
from apps.market.store import candles as store_candles
from apps.market.store import ticks as store_ticks
from tests import factories
from tests.market.answering import answering
from tests.market.history import Past, at, listed, put_candles, put_ticks, tick

pytestmark = pytest.mark.django_db(transaction=True)
ALL = [
    (-0.5, 1, "99"),
    (0.25, 2, "100"),
    (0.4, 3, "103"),
    (1.5, 4, "98"),
    (3.2, 5, "97"),
    (3.6, 6, "99"),
    (4.5, 7, "9"),
]


@pytest.fixture
def past(settings: Settings) -> Iterator[Past]:
    memory = Past(*ALL)
    with answering(memory.respond) as venue:
        settings.COINBASE_REST_URL = venue.url
        yield memory


@pytest.fixture
def coin(market: store.Store) -> Instrument:
    return factories.make_instrument("BTC-USD", price=None)


def put(market: store.Store, coin: Instrument, *ids: int) -> None:
    """Store some of the trades that happened."""
    store_ticks.write(market, [tick(coin, minutes, one, price) for minutes, one, price in ALL if one in ids])


def refill(minutes: float = 10, **more: object) -> refilling.Refilled:
    gaps.look(Instrument.objects.get(symbol="BTC-USD"), until=at(4), now=at(minutes))
    return refilling.refill(at(minutes), **more)


def test_missing_trades_are_fetched_by_number_and_their_candles_made_anew(
    market: store.Store, coin: Instrument, past: Past
) -> None:
    put(market, coin, 1, 2, 6, 7)
    done = refill()
    assert done.open == 0
    assert ("trades", "filled", 0.25, 3.6, 3, 5) in listed(coin)
    assert {row[1] for row in listed(coin)} == {"filled"}
    put_everything = store_ticks.between(market, coin.pk, at(-1), at(4))
    assert [row.trade_id for row in put_everything] == [1, 2, 3, 4, 5, 6]
    assert candles(market, coin) == {-1: 99, 0: 103, 1: 98, 3: 99}


def test_where_trades_are_gone_the_venues_candles_stand_in_and_the_loss_stays_listed(
    market: store.Store, coin: Instrument, past: Past
) -> None:
    past.forgotten = {3, 4, 5}
    put(market, coin, 1, 2, 6, 7)
    assert refill().open == 0
    rows = [row for row in listed(coin) if row[0] == "trades"]
    assert rows == [("trades", "bridged", 0.25, 3.6, 3, 5)]
    assert "does not give these trades" in Gap.objects.get(kind="trades").why
    assert candles(market, coin) == {-1: 99, 0: 103, 1: 98, 3: 99}


def candles(market: store.Store, coin: Instrument) -> dict[int, int]:
    rows = store_candles.rows(market, coin.pk, Timeframe.MINUTE, since=at(-60), until=at(4))
    return {int((row.at - at(0)) / timedelta(minutes=1)): int(row.close) for row in rows}


def test_trades_that_come_at_the_second_asking_fill_a_bridged_gap(
    market: store.Store, coin: Instrument, past: Past
) -> None:
    past.forgotten = {4, 5}
    put(market, coin, 1, 2, 6, 7)
    refill()
    assert [row[1:] for row in listed(coin) if row[0] == "trades"] == [("bridged", 0.4, 3.6, 4, 5)]
    past.forgotten = set()
    assert refill(11).tried == 0  # too soon
    refill(20)
    assert [row[1] for row in listed(coin) if row[0] == "trades"] == ["filled"]


def test_after_some_attempts_lost_trades_are_not_asked_for_again(
    market: store.Store, coin: Instrument, past: Past
) -> None:
    past.forgotten = {3, 4, 5}
    put(market, coin, 1, 2, 6, 7)
    for minutes in (10, 30, 60, 120):
        refill(minutes)
    asked = len(past.asked)
    assert refill(2000).pages == 0
    assert len(past.asked) == asked


def test_a_venue_that_does_not_answer_leaves_the_gap_open_with_its_reason(
    market: store.Store, coin: Instrument, past: Past
) -> None:
    past.silent = True
    put(market, coin, 1, 2, 6, 7)
    done = refill()
    assert done.open == 2 + 1  # the trades, the candles of minutes 1 to 3, and the first minute
    assert done.failed == 3
    assert {row.why[:30] for row in Gap.objects.all()} == {"GET /products/BTC-USD/candles:"}
    assert {(row.attempts, row.tried_at) for row in Gap.objects.all()} == {(1, at(10))}
    past.silent = False
    assert refill(13).open == 0


def test_candles_that_are_missing_are_fetched_and_silence_is_remembered(
    market: store.Store, coin: Instrument, past: Past
) -> None:
    put_candles(market, coin, [-2, 4])
    assert refill().open == 0
    assert listed(coin) == [("candles", "filled", -1, 4, None, None)]
    assert candles(market, coin) == {-2: 100, -1: 99, 0: 103, 1: 98, 3: 99}
    asked = len(past.asked)
    refill(100)
    assert len(past.asked) == asked


def test_a_pause_without_numbers_is_bridged_by_candles(market: store.Store, coin: Instrument, past: Past) -> None:
    put(market, coin, 1, 2, 3, 4, 5, 6, 7)
    gaps.note(coin.pk, at(0.3), at(0.5), "the socket was silent", at(5))
    refill()
    assert listed(coin)[-1] == ("trades", "bridged", 0.3, 0.5, None, None)
    assert Gap.objects.get(kind="trades").why == "the socket was silent"


def test_a_hole_larger_than_the_venue_answers_is_mended_by_candles_alone(
    market: store.Store, coin: Instrument, past: Past
) -> None:
    put_ticks(market, coin, (-0.5, 1), (0.25, 2), (3.2, 90_000), (4.5, 90_001))
    refill()
    assert "trades" not in past.asked
    assert [row[:2] for row in listed(coin) if row[0] == "trades"] == [("trades", "bridged")]


def test_a_run_asks_a_bounded_number_of_questions_and_the_next_goes_on(
    market: store.Store, coin: Instrument, past: Past
) -> None:
    put_candles(market, coin, [-1500, 4])
    first = refill(pages=2)
    assert first.pages == 2
    assert first.open == 1
    assert listed(coin)[-1] == ("candles", "open", -1499 + 2 * 299, 4, None, None)
    assert refill(20).open == 0


def test_an_old_gap_is_left_to_a_person(market: store.Store, coin: Instrument, past: Past) -> None:
    put_candles(market, coin, [0, 4])
    gaps.look(coin, until=at(4), now=at(10))
    assert refilling.refill(at(60 * 24 * 31)).tried == 0
    assert past.asked == []


def test_a_feed_that_is_not_set_up_is_said_and_the_others_are_mended(
    market: store.Store, coin: Instrument, past: Past
) -> None:
    other = factories.make_instrument("AAPL", price=None, feed="alpaca")
    put_candles(market, other, [0, 3])
    put_candles(market, coin, [0, 3])
    gaps.look(other, until=at(4), now=at(10))
    refill()
    assert [row[1] for row in listed(coin)] == ["filled"]
    found = Gap.objects.get(instrument=other)
    assert (found.state, found.attempts) == ("open", 1)
    assert "FEED_ALPACA_KEY" in found.why
