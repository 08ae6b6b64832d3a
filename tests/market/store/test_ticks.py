"""Every print is kept exactly, once, and found again."""

import itertools
import threading
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.domain.ticks import Tick
from apps.market import store
from apps.market.store import partitions, ticks
from tests.market.store.databases import DAY, print_at, query

LATER = DAY + timedelta(days=1)
MS = timedelta(milliseconds=1)
INSTRUMENTS = itertools.count(1_000)


def stored_ids(market: store.Store, instrument_id: int = 1) -> list[int]:
    return [row.trade_id for row in ticks.between(market, instrument_id, DAY, LATER)]


def test_a_print_comes_back_as_it_was_written(market: store.Store) -> None:
    at = DAY + timedelta(microseconds=123_457)
    row = print_at(at, 7, "0.00001230", received_at=at + MS, size="0", side="", bid=None, ask="", refilled=True)
    assert ticks.write(market, [row]) == 1
    (back,) = ticks.between(market, 1, DAY, LATER)
    assert back == row._replace(price=Decimal("0.00001230"), size=Decimal(0), ask=None)
    assert str(back.price) == "0.00001230"
    assert back.at.tzinfo is UTC


def test_any_offset_is_the_same_instant(market: store.Store) -> None:
    tokyo = timezone(timedelta(hours=9))
    at = DAY + timedelta(hours=20)
    assert ticks.write(market, [print_at(at, 1), print_at(at.astimezone(tokyo), 1)]) == 1
    assert ticks.between(market, 1, DAY, LATER)[0].at == at


@settings(max_examples=60, deadline=None)
@given(
    price=st.decimals(min_value="1e-18", max_value="1e20", allow_nan=False, allow_infinity=False, places=18),
    size=st.decimals(min_value=0, max_value="1e20", allow_nan=False, allow_infinity=False, places=40),
    as_text=st.booleans(),
)
def test_no_digit_is_lost(module_market: store.Store, price: Decimal, size: Decimal, *, as_text: bool) -> None:
    instrument_id = next(INSTRUMENTS)
    given_price, given_size = (str(price), str(size)) if as_text else (price, size)
    ticks.write(module_market, [print_at(DAY, 1, given_price, size=given_size, instrument_id=instrument_id)])
    (back,) = ticks.between(module_market, instrument_id, DAY, LATER)
    assert (back.price, back.size) == (price, size)


def test_a_feeds_tick_becomes_a_row() -> None:
    tick = Tick(
        "BTC-USD", 100.5, "100.50", 9, 4, "0.1", "sell", "", "101", "2026-03-10T00:00:00.5Z", 1_773_100_801_000_001_999
    )
    row = ticks.from_tick(3, tick)
    assert row.at == DAY + 500 * MS
    assert row.received_at == datetime.fromtimestamp(1_773_100_801, UTC) + timedelta(microseconds=1)
    assert row[5:] == ("0.1", "sell", "", "101", False)
    assert (row.instrument_id, row.trade_id, row.price) == (3, 9, "100.50")


def test_a_feeds_tick_without_venue_time_counts_from_its_arrival(market: store.Store) -> None:
    tick = Tick("X", 1.0, "1", 1, 0, "0", "", "", "", "", int(DAY.timestamp()) * 10**9)
    assert ticks.write(market, [ticks.from_tick(1, tick)]) == 1
    assert ticks.between(market, 1, DAY, LATER)[0].at == DAY


@pytest.mark.parametrize(
    "changes",
    [
        {"price": price}
        for price in (
            "NaN",
            "Infinity",
            "-Infinity",
            "0",
            "-1",
            "1e24",
            "1e400",
            "1e-400",
            "",
            "abc",
            "1\t2",
            "1\n2",
            Decimal("NaN"),
        )
    ]
    + [{"size": size} for size in ("NaN", "-0.1", "Infinity", "")]
    + [{"bid": "NaN"}, {"bid": "0"}, {"ask": "Infinity"}, {"ask": "-1"}]
    + [{"side": "BUY"}, {"side": 'buy","1'}, {"side": "buy\nsell"}, {"instrument_id": 2**31}, {"trade_id": 2**63}],
    ids=str,
)
@pytest.mark.parametrize("refilled", [False, True], ids=["fresh", "refilled"])
def test_a_bad_print_is_refused_with_its_whole_batch(
    module_market: store.Store, changes: dict[str, object], *, refilled: bool
) -> None:
    good = print_at(DAY, 1, instrument_id=2, refilled=refilled)
    with pytest.raises(store.RefusedRows):
        ticks.write(module_market, [good, print_at(DAY + MS, 2, refilled=refilled)._replace(**changes)])
    assert stored_ids(module_market, 2) == []


def test_a_refusal_says_which_rule_and_line(market: store.Store) -> None:
    with pytest.raises(store.RefusedRows, match=r"^ticks_price_is_positive: COPY ticks.*, line 2"):
        ticks.write(market, [print_at(DAY, 1), print_at(DAY + MS, 2, "NaN")])


@pytest.mark.parametrize("field", ["at", "received_at"])
def test_a_naive_time_is_refused(market: store.Store, field: str) -> None:
    with pytest.raises(store.RefusedRows, match="offset"):
        ticks.write(market, [print_at(DAY, 1)._replace(**{field: datetime(2026, 3, 10)})])


def test_a_print_written_twice_is_there_once(market: store.Store) -> None:
    rows = [print_at(DAY + number * MS, number) for number in range(1, 11)]
    assert ticks.write(market, rows) == 10
    assert ticks.write(market, rows) == 0
    assert ticks.write(market, [*rows[5:], print_at(LATER - MS, 11)]) == 1
    assert stored_ids(market) == list(range(1, 12))


def test_a_batch_may_hold_a_print_twice_and_in_any_order(market: store.Store) -> None:
    rows = [print_at(DAY + number * MS, number) for number in (3, 1, 2, 3, 1)]
    assert ticks.write(market, rows) == 3
    assert stored_ids(market) == [1, 2, 3]


def test_a_refill_overlaps_with_what_is_there(market: store.Store) -> None:
    ticks.write(market, [print_at(DAY + number * MS, number) for number in (1, 2, 6, 7)])
    refill = [print_at(DAY + number * MS, number, refilled=True) for number in range(1, 8)]
    assert ticks.write(market, refill) == 3
    marked = [(row.trade_id, row.refilled) for row in ticks.between(market, 1, DAY, LATER)]
    assert marked == [(1, False), (2, False), (3, True), (4, True), (5, True), (6, False), (7, False)]


def test_prints_without_a_number_are_told_apart_by_what_they_say(market: store.Store) -> None:
    first = print_at(DAY, 0, "100.5")
    same_in_other_words = print_at(DAY, 0, "100.50", refilled=True, received_at=LATER)
    others = [
        print_at(DAY, 0, "100.6"),
        print_at(DAY + MS, 0),
        print_at(DAY, 0, size="0.26"),
        print_at(DAY, 0, side="sell"),
    ]
    assert ticks.write(market, [first]) == 1
    assert ticks.write(market, [same_in_other_words]) == 0
    assert ticks.write(market, others) == 4
    assert all(number < 0 for number in stored_ids(market))


def test_a_print_without_a_number_still_needs_a_price(market: store.Store) -> None:
    with pytest.raises(store.RefusedRows, match="must be numbers"):
        ticks.write(market, [print_at(DAY, 0, "1..2")])


def test_two_listeners_writing_overlapping_batches_store_each_print_once(market: store.Store) -> None:
    rows = [print_at(DAY + number * MS, number, instrument_id=1 + number % 3) for number in range(1, 3_001)]
    new = []

    def listen(offset: int) -> None:
        for start in range(0, len(rows), 250):
            batch = rows[max(0, start - offset) : start + 250 + offset]
            new.append(ticks.write(market, batch if offset % 2 else batch[::-1]))

    writers = [threading.Thread(target=listen, args=(offset,)) for offset in (0, 31, 62, 93)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(new) == 4 * 12
    assert sum(new) == 3_000
    found = [number for instrument in (1, 2, 3) for number in stored_ids(market, instrument)]
    assert sorted(found) == list(range(1, 3_001))


def test_writers_on_both_sides_of_a_new_partition_lose_nothing(market: store.Store, market_url: str) -> None:
    stop = threading.Event()
    written = itertools.count(1)
    sent = []

    def listen() -> None:
        while not stop.is_set():
            numbers = [next(written) for _ in range(20)]
            moments = [DAY + timedelta(days=number % 40, microseconds=number) for number in numbers]
            sent.append(
                ticks.write(market, [print_at(at, number) for at, number in zip(moments, numbers, strict=True)])
            )

    writers = [threading.Thread(target=listen) for _ in range(3)]
    for writer in writers:
        writer.start()
    made = partitions.ensure(market, partitions.TICKS, DAY, DAY + timedelta(days=40))
    stop.set()
    for writer in writers:
        writer.join()
    assert len(made) == 40
    assert sent == [20] * len(sent)
    assert query(market_url, "SELECT count(*) FROM market.ticks") == [(20 * len(sent),)]
    assert partitions.strays(market) == {}


def test_large_writes_are_cut_into_batches(market: store.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticks, "BATCH", 100)
    rows = [print_at(DAY + number * MS, number) for number in range(1, 1_051)]
    assert ticks.write(market, rows) == 1_050
    assert stored_ids(market) == list(range(1, 1_051))


def test_nothing_to_write_is_nothing_written(market: store.Store) -> None:
    assert ticks.write(market, []) == 0


def test_a_span_includes_its_start_and_excludes_its_end(market: store.Store) -> None:
    ticks.write(market, [print_at(DAY, 1, "5"), print_at(DAY + MS, 2, "7"), print_at(DAY + 2 * MS, 3, "3")])
    assert [row.trade_id for row in ticks.between(market, 1, DAY, DAY + 2 * MS)] == [1, 2]
    assert [row.trade_id for row in ticks.between(market, 1, DAY, LATER, limit=2)] == [1, 2]
    assert ticks.extremes(market, 1, DAY, DAY + 2 * MS) == (Decimal(5), Decimal(7), 2)
    assert ticks.count(market, 1, DAY, LATER) == 3


def test_a_span_without_prints_has_no_extremes(market: store.Store) -> None:
    ticks.write(market, [print_at(DAY, 1)])
    assert ticks.extremes(market, 1, DAY + MS, LATER) == (None, None, 0)
    assert ticks.extremes(market, 2, DAY, LATER) == (None, None, 0)


def test_paging_visits_every_print_once_even_at_one_instant(market: store.Store) -> None:
    ticks.write(market, [print_at(DAY + (number // 7) * MS, number) for number in range(1, 51)])
    ticks.write(market, [print_at(DAY, 99, instrument_id=2)])
    at, trade_id, seen = DAY, 0, []
    while page := ticks.after(market, 1, at, trade_id, limit=4):
        assert len(page) <= 4
        seen += [row.trade_id for row in page]
        at, trade_id = page[-1].at, page[-1].trade_id
    assert seen == list(range(1, 51))
    assert [row.trade_id for row in ticks.after(market, 1, DAY, 5, until=DAY + 2 * MS)] == list(range(6, 14))
