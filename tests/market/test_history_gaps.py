"""What is missing of the stored prices is found, written down once, and forgotten when it is there."""

import itertools
from datetime import timedelta

import pytest

from apps.domain.spans import Span
from apps.market import store
from apps.market.models import Coverage, Gap, Inspection, Instrument
from apps.market.services import coverage, gaps
from apps.market.store import Timeframe
from tests import factories
from tests.market.history import at, listed, minutes_stored, put_candles, put_ticks

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def coin(market: store.Store) -> Instrument:
    return factories.make_instrument(price=None)


def look(instrument: Instrument, until: float, since: float | None = None) -> None:
    gaps.look(instrument, since=None if since is None else at(since), until=at(until), now=at(until + 1))


def covered(instrument: Instrument) -> list[tuple[float, float]]:
    rows = Coverage.objects.filter(instrument=instrument).order_by("since")
    return [((row.since - at(0)) / timedelta(minutes=1), (row.until - at(0)) / timedelta(minutes=1)) for row in rows]


def test_consecutive_numbers_leave_no_gap_however_quiet_it_was(market: store.Store, coin: Instrument) -> None:
    put_ticks(market, coin, (-0.5, 1), (0.2, 2), (5.5, 3), (9.5, 4), (11, 5))
    look(coin, 10, since=0)
    assert listed(coin) == []
    assert minutes_stored(market, coin) == [0, 5, 9]
    assert covered(coin) == [(0, 10)]


def test_skipped_numbers_are_a_gap_between_the_trades_around_them(market: store.Store, coin: Instrument) -> None:
    put_ticks(market, coin, (-0.5, 1), (0.25, 2), (0.5, 7), (1.5, 8), (2.5, 9))
    look(coin, 2, since=0)
    assert listed(coin) == [("trades", "open", 0.25, 0.5, 3, 6)]
    assert covered(coin) == [(1, 2)]


def test_an_outage_is_a_gap_of_trades_and_of_the_candles_in_it(market: store.Store, coin: Instrument) -> None:
    put_ticks(market, coin, (-0.5, 1), (0.25, 2), (6.5, 90), (7.5, 91), (8.1, 92))
    look(coin, 8, since=0)
    assert listed(coin) == [("trades", "open", 0.25, 6.5, 3, 89), ("candles", "open", 1, 6, None, None)]
    assert covered(coin) == [(7, 8)]


def test_late_trades_fill_a_gap_and_split_what_is_left_of_it(market: store.Store, coin: Instrument) -> None:
    put_ticks(market, coin, (-0.5, 1), (0.25, 2), (0.75, 9), (1.5, 10), (2.5, 11))
    look(coin, 2, since=0)
    found = Gap.objects.get()
    put_ticks(market, coin, (0.4, 5))
    look(coin, 2, since=0)
    assert listed(coin) == [("trades", "open", 0.25, 0.4, 3, 4), ("trades", "open", 0.4, 0.75, 6, 8)]
    assert Gap.objects.earliest("since").found_at == found.found_at
    put_ticks(market, coin, (0.3, 3), (0.35, 4), (0.45, 6), (0.5, 7), (0.6, 8))
    look(coin, 2, since=0)
    assert [row[1] for row in listed(coin)] == ["filled", "filled"]
    assert covered(coin) == [(0, 2)]


def test_looking_again_finds_nothing_new(market: store.Store, coin: Instrument) -> None:
    put_ticks(market, coin, (0.1, 1), (0.25, 2), (6.5, 90), (7.5, 91))
    look(coin, 7)
    first = list(Gap.objects.values("pk", "since", "until", "found_at"))
    look(coin, 7)
    assert list(Gap.objects.values("pk", "since", "until", "found_at")) == first
    assert Inspection.objects.get(pk=coin.pk).until == at(7)


def test_the_first_and_the_last_bucket_are_not_known_to_be_whole(market: store.Store, coin: Instrument) -> None:
    put_ticks(market, coin, (0.5, 1), (1.5, 2), (2.5, 3))
    look(coin, 5)
    assert listed(coin) == [("candles", "open", 0, 1, None, None), ("candles", "open", 2, 5, None, None)]
    assert covered(coin) == [(1, 2)]


def test_buckets_that_the_venue_left_out_are_no_gap(market: store.Store, coin: Instrument) -> None:
    put_candles(market, coin, [0, 1, 4, 9])
    coverage.add(coin.pk, Timeframe.MINUTE, [Span(at(0), at(6))])
    look(coin, 12)
    assert listed(coin) == [("candles", "open", 6, 9, None, None), ("candles", "open", 10, 12, None, None)]


def test_a_gap_that_turns_out_to_be_silence_was_none(market: store.Store, coin: Instrument) -> None:
    put_candles(market, coin, [0, 3])
    look(coin, 4)
    assert len(listed(coin)) == 1
    coverage.add(coin.pk, Timeframe.MINUTE, [Span(at(0), at(4))])
    look(coin, 4, since=0)
    assert listed(coin) == []


def test_a_gap_grows_while_the_outage_lasts_and_stays_one_row(market: store.Store, coin: Instrument) -> None:
    put_candles(market, coin, [0])
    for until in (3, 40, 90):
        look(coin, until)
    assert listed(coin) == [("candles", "open", 1, 90, None, None)]


def test_half_a_look_does_not_shorten_a_gap(market: store.Store, coin: Instrument) -> None:
    put_candles(market, coin, [0, 20])
    look(coin, 21)
    look(coin, 10, since=5)
    assert listed(coin) == [("candles", "open", 1, 20, None, None)]


def test_a_venue_that_counts_anew_hides_what_happened_in_between(market: store.Store, coin: Instrument) -> None:
    put_ticks(market, coin, (-0.5, 999), (0.5, 1000), (1.5, 10), (2.5, 11), (3.5, 12))
    look(coin, 3, since=0)
    assert listed(coin) == [("trades", "open", 0.5, 1.5, None, None)]
    assert covered(coin) == [(2, 3)]


def test_trades_out_of_order_in_time_are_not_missing(market: store.Store, coin: Instrument) -> None:
    put_ticks(market, coin, (-0.5, 1), (0.5, 3), (0.501, 2), (1.2, 5), (1.201, 4), (2.5, 6))
    look(coin, 2, since=0)
    assert listed(coin) == []


def test_numbers_that_only_tell_trades_apart_prove_nothing(market: store.Store, coin: Instrument) -> None:
    Instrument.objects.update(feed="ccxt:kraken")
    coin.refresh_from_db()
    put_ticks(market, coin, (0.5, 1), (1.5, 900), (3.5, 5000))
    look(coin, 4)
    assert listed(coin) == [("candles", "open", 2, 3, None, None)]


def test_a_pause_without_numbers_is_noted_once_and_stays_until_it_is_mended(
    market: store.Store, coin: Instrument
) -> None:
    put_candles(market, coin, range(10))
    gaps.note(coin.pk, at(2), at(3), "the socket was silent", at(4))
    gaps.note(coin.pk, at(2.5), at(4), "the socket was silent", at(5))
    look(coin, 10)
    assert listed(coin) == [("trades", "open", 2, 4, None, None)]


def test_history_that_comes_later_and_lies_earlier_is_looked_at(market: store.Store, coin: Instrument) -> None:
    put_candles(market, coin, [600, 601])
    look(coin, 602)
    put_candles(market, coin, [0, 1])
    look(coin, 602)
    assert listed(coin) == [("candles", "open", 2, 600, None, None)]


def test_nights_and_weekends_are_no_gap(market: store.Store, coin: Instrument) -> None:
    from apps.market.models import TradingSession

    Instrument.objects.update(calendar="XNYS")
    coin.refresh_from_db()
    for day in (10, 11):
        opens = at(0).replace(day=day, hour=14, minute=30)
        TradingSession.objects.create(
            calendar="XNYS", day=opens.date(), opens_at=opens, closes_at=opens + timedelta(hours=6.5)
        )
    first, last = 150, 150 + 390 - 1  # 14:30 to 21:00, minutes after noon
    put_candles(market, coin, [*range(first, first + 100), *range(first + 110, last + 1), 1440 + first])
    coverage.add(coin.pk, Timeframe.MINUTE, [Span(at(first), at(first + 1))])
    look(coin, 1440 + first + 1)
    assert listed(coin) == [("candles", "open", first + 100, first + 110, None, None)]


def test_a_long_past_is_looked_at_month_by_month_and_none_is_left_out(market: store.Store, coin: Instrument) -> None:
    day = 1440
    put_candles(market, coin, [200 * day])
    look(coin, 200 * day + 1)
    put_candles(market, coin, [0, 50 * day, 120 * day])
    ends = [gaps.look(coin, until=at(200 * day + 1), now=at(201 * day)) for _ in range(3)]
    assert ends[0] == at(31 * day)
    assert all(later - sooner > timedelta(days=15) for sooner, later in itertools.pairwise(ends))
    gaps.catch_up(coin, until=at(200 * day + 1), now=at(201 * day), since=ends[-1])
    listed_minutes = sum(row[3] - row[2] for row in listed(coin))
    assert listed_minutes == 200 * day + 1 - 4
    assert Inspection.objects.get(pk=coin.pk).since == at(0)


def test_what_is_found_in_the_middle_of_a_long_gap_leaves_both_ends_open(market: store.Store, coin: Instrument) -> None:
    day = 1440
    put_candles(market, coin, [0, 100 * day])
    Gap.objects.create(instrument=coin, kind="candles", since=at(1), until=at(100 * day), found_at=at(0))
    coverage.add(coin.pk, Timeframe.MINUTE, [Span(at(40 * day), at(71 * day))])
    put_candles(market, coin, [50 * day])
    look(coin, 71 * day, since=40 * day)
    assert listed(coin) == [
        ("candles", "open", 1, 40 * day, None, None),
        ("candles", "open", 71 * day, 100 * day, None, None),
    ]
