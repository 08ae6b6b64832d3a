"""A candle is exactly what its prints say, however it came about and however often."""

import itertools
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from apps.market import store
from apps.market.store import candles, partitions, ticks
from apps.market.store.candles import CandleRow
from apps.market.store.ticks import TickRow
from apps.market.store.timeframes import Timeframe
from tests.market.store.databases import DAY, print_at

LATER = DAY + timedelta(days=2)
SECOND = timedelta(seconds=1)
INSTRUMENTS = itertools.count(1_000)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def by_hand(prints: Iterable[TickRow], seconds: int) -> list[CandleRow]:
    """Aggregate in plain Python, whole seconds since 1970, without anything of the store's."""
    found: dict[int, list[TickRow]] = {}
    for row in sorted(prints, key=lambda row: (row.at, row.trade_id)):
        elapsed = row.at - EPOCH
        found.setdefault((elapsed.days * 86_400 + elapsed.seconds) // seconds * seconds, []).append(row)
    return [
        CandleRow(
            rows[0].instrument_id,
            EPOCH + timedelta(seconds=start),
            Decimal(rows[0].price),
            max(Decimal(row.price) for row in rows),
            min(Decimal(row.price) for row in rows),
            Decimal(rows[-1].price),
            sum(Decimal(row.size) for row in rows),
            len(rows),
        )
        for start, rows in sorted(found.items())
    ]


prices = st.decimals(min_value="0.00000001", max_value="99999999", places=8)
sizes = st.decimals(min_value=0, max_value="1000", places=8)
moments = st.one_of(  # bucket edges, many prints at one instant, anything else
    st.integers(0, 30).map(lambda minutes: timedelta(minutes=minutes * 5)),
    st.integers(0, 30).map(lambda minutes: timedelta(minutes=minutes * 5) - timedelta(microseconds=1)),
    st.timedeltas(timedelta(0), timedelta(hours=30)),
)
tapes = st.lists(st.tuples(moments, prices, sizes), min_size=1, max_size=60)


def tape_of(instrument_id: int, drawn: list[tuple[timedelta, Decimal, Decimal]]) -> list[TickRow]:
    # falling trade ids: the order of arrival is not the order of the tape
    return [
        print_at(DAY + timedelta(hours=1) + offset, len(drawn) - number, price, size=size, instrument_id=instrument_id)
        for number, (offset, price, size) in enumerate(drawn)
    ]


@settings(max_examples=40, deadline=None)
@given(drawn=tapes, timeframe=st.sampled_from(list(Timeframe)))
def test_a_roll_up_equals_the_aggregation_by_hand(
    module_market: store.Store, drawn: list[tuple[timedelta, Decimal, Decimal]], timeframe: Timeframe
) -> None:
    prints = tape_of(next(INSTRUMENTS), drawn)
    one = prints[0].instrument_id
    ticks.write(module_market, prints)
    expected = by_hand(prints, timeframe.width // SECOND)
    assert candles.roll_up(module_market, [one], timeframe, DAY, LATER) == len(expected)
    assert candles.rows(module_market, one, timeframe, since=DAY) == expected
    assert candles.roll_up(module_market, [one], timeframe, DAY, LATER) == 0


@settings(max_examples=25, deadline=None)
@given(drawn=tapes)
def test_rolling_up_in_steps_equals_rolling_up_at_once(
    module_market: store.Store, drawn: list[tuple[timedelta, Decimal, Decimal]]
) -> None:
    prints = tape_of(next(INSTRUMENTS), drawn)
    one = prints[0].instrument_id
    ticks.write(module_market, prints)
    candles.roll_up(module_market, [one], Timeframe.SECOND, DAY, LATER)
    for source, target in itertools.pairwise(Timeframe):
        candles.roll_up(module_market, [one], target, DAY, LATER, source=source)
        assert candles.rows(module_market, one, target, since=DAY) == by_hand(prints, target.width // SECOND)


@settings(max_examples=25, deadline=None)
@given(drawn=tapes, seconds=st.sampled_from([1, 5, 7, 90, 3_600]), until=moments, back=st.integers(1, 500))
def test_bars_straight_from_ticks_equal_the_aggregation_by_hand(
    module_market: store.Store,
    drawn: list[tuple[timedelta, Decimal, Decimal]],
    seconds: int,
    until: timedelta,
    back: int,
) -> None:
    prints = tape_of(next(INSTRUMENTS), drawn)
    end = DAY + timedelta(hours=2) + until
    ticks.write(module_market, prints)
    whole = -(-int((end - EPOCH) / timedelta(microseconds=1)) // (seconds * 10**6)) * seconds
    since = EPOCH + timedelta(seconds=whole - back * seconds)
    expected = by_hand([row for row in prints if since <= row.at < end], seconds)
    found = candles.from_ticks_window(
        module_market, prints[0].instrument_id, timedelta(seconds=seconds), buckets_back=back, until=end
    )
    assert list(
        zip(found.at, found.open, found.high, found.low, found.close, found.volume, found.trades, strict=True)
    ) == [(row.at.timestamp(), *map(float, row[2:7]), row.trades) for row in expected]


def test_prints_at_one_instant_open_and_close_by_their_number(market: store.Store) -> None:
    ticks.write(market, [print_at(DAY, number, price) for number, price in ((12, "3"), (9, "2"), (10, "5"))])
    candles.roll_up(market, [1], Timeframe.MINUTE, DAY, LATER)
    assert candles.rows(market, 1, Timeframe.MINUTE, limit=1)[0][2:6] == (2, 5, 2, 3)


def test_a_span_inside_a_bucket_rolls_up_the_whole_bucket(market: store.Store) -> None:
    ticks.write(market, [print_at(DAY + number * SECOND, number + 1, str(number + 1)) for number in range(60)])
    candles.roll_up(market, [1], Timeframe.MINUTE, DAY + 20 * SECOND, DAY + 30 * SECOND)
    (row,) = candles.rows(market, 1, Timeframe.MINUTE, limit=5)
    assert (row.open, row.close, row.trades) == (1, 60, 60)


def test_a_late_print_corrects_the_candle(market: store.Store) -> None:
    ticks.write(market, [print_at(DAY, 5, "10")])
    assert candles.roll_up(market, [1], Timeframe.MINUTE, DAY, LATER) == 1
    ticks.write(market, [print_at(DAY - SECOND + SECOND, 4, "12", refilled=True)])
    assert candles.roll_up(market, [1], Timeframe.MINUTE, DAY, LATER) == 1
    assert candles.rows(market, 1, Timeframe.MINUTE, limit=1)[0][2:] == (12, 12, 10, 10, Decimal("0.5"), 2)


def test_instruments_do_not_mix(market: store.Store) -> None:
    ticks.write(
        market, [print_at(DAY, 1, "1"), print_at(DAY, 1, "2", instrument_id=2), print_at(DAY, 1, "3", instrument_id=3)]
    )
    assert candles.roll_up(market, [2, 1, 2], Timeframe.DAY, DAY, LATER) == 2
    assert [candles.rows(market, one, Timeframe.DAY, limit=9)[0].open for one in (1, 2)] == [1, 2]
    assert candles.rows(market, 3, Timeframe.DAY, limit=9) == []
    assert candles.roll_up(market, [], Timeframe.DAY, DAY, LATER) == 0


@pytest.mark.parametrize(("source", "target"), [("1m", "1m"), ("1h", "5m")])
def test_a_source_that_does_not_divide_is_refused(market: store.Store, source: str, target: str) -> None:
    with pytest.raises(ValueError, match="divide"):
        candles.roll_up(market, [1], Timeframe(target), DAY, LATER, source=Timeframe(source))


def test_roll_ups_at_once_while_prints_arrive_end_exact(market: store.Store) -> None:
    prints = [print_at(DAY + number * SECOND / 50, number, str(100 + number % 17)) for number in range(1, 2_001)]

    def roll() -> None:
        for _ in range(15):
            candles.roll_up(market, [1, 2], Timeframe.SECOND, DAY, DAY + timedelta(minutes=1))

    rollers = [threading.Thread(target=roll) for _ in range(3)]
    for roller in rollers:
        roller.start()
    for start in range(0, 2_000, 100):
        ticks.write(market, prints[start : start + 100])
    candles.roll_up(market, [1], Timeframe.SECOND, DAY, DAY + timedelta(minutes=1))
    for roller in rollers:
        roller.join()
    assert candles.rows(market, 1, Timeframe.SECOND, since=DAY) == by_hand(prints, 1)


def test_a_roll_up_waits_for_the_one_before_it_and_sees_what_came_meanwhile(market: store.Store) -> None:
    ticks.write(market, [print_at(DAY, 1, "10"), print_at(DAY, 1, "7", instrument_id=2)])
    with market.transaction() as earlier:
        earlier.execute(candles.TURN, {"wanted": [1]})
        waiting = threading.Thread(target=candles.roll_up, args=(market, [1], Timeframe.MINUTE, DAY, LATER))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        assert candles.roll_up(market, [2], Timeframe.MINUTE, DAY, LATER) == 1
        ticks.write(market, [print_at(DAY + SECOND, 2, "12")])
    waiting.join(30)
    assert candles.rows(market, 1, Timeframe.MINUTE, limit=1)[0].close == 12


def candle(at: datetime, *prices: str, volume: str = "1", trades: int = 0) -> CandleRow:
    return CandleRow(1, at, *prices, volume, trades)


def test_a_venues_candle_stands_against_our_own_roll_up(market: store.Store) -> None:
    ticks.write(market, [print_at(DAY, 1, "5"), print_at(DAY + 60 * SECOND, 2, "6")])
    told = candle(DAY, "4", "9", "3", "5")
    assert candles.write(market, Timeframe.MINUTE, [told]) == 1
    assert candles.roll_up(market, [1], Timeframe.MINUTE, DAY, LATER) == 1
    assert [row.high for row in candles.rows(market, 1, Timeframe.MINUTE, since=DAY)] == [9, 6]
    candles.roll_up(market, [1], Timeframe.HOUR, DAY, LATER, source=Timeframe.MINUTE)
    assert candles.rows(market, 1, Timeframe.HOUR, since=DAY)[0] == (1, DAY, 4, 9, 3, 6, Decimal("1.25"), 0)


def test_the_last_word_of_a_venue_counts(market: store.Store) -> None:
    first, second = candle(DAY, "4", "9", "3", "5"), candle(DAY, "4", "10", "3", "6", trades=7)
    assert candles.write(market, Timeframe.DAY, [first]) == 1
    assert candles.write(market, Timeframe.DAY, [first, second]) == 1
    assert candles.write(market, Timeframe.DAY, [second]) == 0
    assert candles.rows(market, 1, Timeframe.DAY, limit=1) == [CandleRow(1, DAY, *map(Decimal, second[2:7]), 7)]


@pytest.mark.parametrize(
    "wrong",
    [
        candle(DAY, "4", "3", "5", "4"),
        candle(DAY, "9.1", "9", "3", "5"),
        candle(DAY, "4", "9", "3", "2.9"),
        candle(DAY, "NaN", "NaN", "NaN", "NaN"),
        candle(DAY, "4", "NaN", "3", "5"),
        candle(DAY, "4", "Infinity", "3", "5"),
        candle(DAY, "4", "9", "0", "5"),
        candle(DAY, "4", "1e400", "1", "5"),
        candle(DAY, "1e-400", "1", "1e-400", "1"),
        candle(DAY, "4", "9", "-1", "5"),
        candle(DAY, "4", "9", "3", ""),
        candle(DAY, "4", "9", "3", "5", volume="NaN"),
        candle(DAY, "4", "9", "3", "5", volume="-1"),
        candle(DAY, "4", "9", "3", "5", trades=-1),
        candle(DAY + SECOND, "4", "9", "3", "5"),
        candle(DAY.replace(tzinfo=None), "4", "9", "3", "5"),
    ],
    ids=str,
)
def test_an_impossible_candle_is_refused_with_its_batch(module_market: store.Store, wrong: CandleRow) -> None:
    good = candle(DAY + timedelta(hours=1), "1", "1", "1", "1")
    with pytest.raises(store.RefusedRows):
        candles.write(module_market, Timeframe.HOUR, [good, wrong])
    assert candles.rows(module_market, 1, Timeframe.HOUR, since=DAY) == []


def test_a_window_is_the_newest_candles_oldest_first_across_partitions(market: store.Store) -> None:
    start = datetime(2025, 12, 31, 23, tzinfo=UTC)
    family = partitions.CANDLES[Timeframe.MINUTE]
    partitions.ensure(market, family, start, start + timedelta(hours=1))  # the rest are strays
    stored = [candle(start + timedelta(minutes=number), *[str(number + 1)] * 4) for number in range(120)]
    candles.write(market, Timeframe.MINUTE, stored)
    window = candles.window(market, 1, Timeframe.MINUTE, limit=100)
    assert window.close.tolist() == [float(number) for number in range(21, 121)]
    assert (window.at.dtype, window.open.dtype, window.trades.dtype) == (np.int64, np.float64, np.int64)
    assert window.at[0] == (start + timedelta(minutes=20)).timestamp()
    middle = {"since": start + timedelta(minutes=10), "until": start + timedelta(minutes=90)}
    assert candles.window(market, 1, Timeframe.MINUTE, **middle).close.tolist() == list(range(11, 91))
    assert candles.window(market, 1, Timeframe.MINUTE, limit=3, **middle).close.tolist() == [88, 89, 90]
    assert [row.close for row in candles.rows(market, 1, Timeframe.MINUTE, limit=3, **middle)] == [88, 89, 90]


def test_a_window_is_read_from_the_index_alone(market: store.Store) -> None:
    family = partitions.CANDLES[Timeframe.MINUTE]
    partitions.ensure(market, family, DAY, LATER)
    minutes = [DAY + timedelta(minutes=number) for number in range(1_000)]
    both = [candle(at, "1", "1", "1", "1")._replace(instrument_id=one) for at in minutes for one in (1, 2)]
    candles.write(market, Timeframe.MINUTE, both)
    question = candles.window_query(1, Timeframe.MINUTE, 100, None, None)
    sentence = question.compile(market.engine, compile_kwargs={"literal_binds": True})
    with market.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as asked:
        asked.execute(text("VACUUM ANALYZE market.candles_1m_202603"))
        plan = asked.scalars(text(f"EXPLAIN {sentence}")).all()
    assert [line for line in plan if "Index Only Scan Backward using candles_1m_202603_pkey" in line], plan


def test_an_empty_window_is_empty_arrays(market: store.Store) -> None:
    window = candles.window(market, 1, Timeframe.MINUTE, limit=10)
    assert len(window) == 0
    assert window.close.dtype == np.float64


def test_a_window_without_bounds_is_refused(market: store.Store) -> None:
    with pytest.raises(ValueError, match="limit"):
        candles.window(market, 1, Timeframe.MINUTE, until=LATER)


@pytest.mark.parametrize("width", [timedelta(0), timedelta(seconds=-5), timedelta(seconds=1.5)])
def test_bars_need_whole_seconds(market: store.Store, width: timedelta) -> None:
    with pytest.raises(ValueError, match="whole number of seconds"):
        candles.from_ticks_window(market, 1, width, buckets_back=1, until=DAY)
