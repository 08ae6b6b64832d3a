"""Which prints are news, which are replays, which are holes: the gate on its own, with time as a number."""

import pytest

from tests.market.gating import BTC, Bench, Print

# -- order --------------------------------------------------------------------------------------------------------


def test_prints_in_order_pass_without_a_gap() -> None:
    bench = Bench()
    assert bench.play(5, 6, 7) == [5, 6, 7]
    assert bench.sink.gaps == []
    assert bench.counters.accepted == 3


def test_a_duplicate_and_a_late_print_are_dropped() -> None:
    bench = Bench().live(5)
    twice = Print(6)
    assert bench.play(twice, twice, Print(4, venue_time=bench.stamp(-5)), 7) == [6, 7]
    assert bench.counters.duplicates == 2
    assert bench.sink.gaps == []


def test_a_jump_of_the_trade_id_is_a_gap_of_exactly_the_missing_ids() -> None:
    bench = Bench().live(5)
    assert bench.play(9) == [9]
    assert bench.sink.gaps == [(BTC, 6, 8)]
    assert (bench.counters.gaps, bench.counters.missing) == (1, 3)


def test_a_jump_of_the_sequence_is_no_gap() -> None:
    bench = Bench().live(5)
    assert bench.play(Print(6, sequence=100), Print(7, sequence=2252)) == [6, 7]
    assert bench.sink.gaps == []


def test_a_newer_id_under_an_older_sequence_moves_nothing_and_is_a_hole_later() -> None:
    bench = Bench().live(5)
    late = bench.stamp(-1)
    assert bench.play(Print(6, sequence=500), Print(7, sequence=400, venue_time=late), Print(8, sequence=510)) == [6, 8]
    assert bench.counters.out_of_order == 1
    assert bench.sink.gaps == [(BTC, 7, 7)]


def test_the_gap_is_told_before_the_print_that_shows_it() -> None:
    bench = Bench().live(5)
    told: list[str] = []
    bench.sink.gap = lambda *_: told.append("gap")
    gate_sink_tick = bench.sink.tick
    bench.gate._hand_on = lambda tick: (told.append("tick"), gate_sink_tick(tick))
    bench.play(9)
    assert told == ["gap", "tick"]


def test_products_do_not_disturb_each_other() -> None:
    bench = Bench()
    bench.gate.follow(["ETH-USD"])
    assert bench.play(5, Print(900, symbol="ETH-USD"), 6, Print(901, symbol="ETH-USD")) == [5, 900, 6, 901]
    assert bench.sink.gaps == []


def test_an_unknown_product_is_dropped_and_counted() -> None:
    bench = Bench()
    assert bench.play(Print(1, symbol="XYZ-USD")) == []
    assert bench.counters.unknown_product == 1


def test_a_forgotten_product_starts_over_without_a_gap() -> None:
    bench = Bench().live(5)
    bench.gate.forget([BTC])
    assert bench.gate.last_trade_id(BTC) == 0
    bench.gate.follow([BTC])
    assert bench.play(50) == [50]
    assert bench.sink.gaps == []


def test_the_last_trade_known_from_before_opens_a_gap_at_once() -> None:
    bench = Bench(known={BTC: 40})
    assert bench.gate.last_trade_id(BTC) == 40
    assert bench.play(50) == [50]
    assert bench.sink.gaps == [(BTC, 41, 49)]


# -- the first print after a subscribe ---------------------------------------------------------------------------


def test_an_old_first_print_is_a_snapshot() -> None:
    bench = Bench()
    bench.play(5, age=107.1)
    assert bench.sink.ticks[0].snapshot
    assert (bench.counters.snapshots, bench.counters.accepted) == (1, 0)
    bench.play(6)
    assert not bench.sink.ticks[1].snapshot


def test_a_fresh_first_print_is_news() -> None:
    bench = Bench()
    bench.play(5, age=0.1)
    assert not bench.sink.ticks[0].snapshot


@pytest.mark.parametrize("stamp", ["", "yesterday", "2026-01-05T12:00:00"], ids=["none", "no time", "no zone"])
def test_a_first_print_of_unknown_age_is_a_snapshot(stamp: str) -> None:
    bench = Bench()
    item = Print(5, venue_time=stamp or " ")
    bench.play(item)
    assert bench.sink.ticks[0].snapshot


def test_a_first_print_from_the_future_proves_nothing_and_is_a_snapshot() -> None:
    bench = Bench()
    bench.play(5, age=-60)
    assert bench.sink.ticks[0].snapshot


@pytest.mark.parametrize("ahead", [-3600.0, -5.0, 1.5, 3600.0])
def test_freshness_is_judged_by_the_venues_clock_once_heartbeats_showed_it(ahead: float) -> None:
    bench = Bench(ahead=ahead).live(5)
    for _ in range(3):
        bench.beat(5)
    bench.gate.session_opened()
    bench.play(6, age=0.2)
    assert not bench.sink.ticks[-1].snapshot
    bench.gate.session_opened()
    bench.play(7, age=30)
    assert bench.sink.ticks[-1].snapshot


def test_a_replay_of_the_known_trade_is_dropped_and_the_next_one_is_news() -> None:
    bench = Bench().live(5)
    bench.gate.session_opened()
    assert bench.play(Print(5, venue_time=bench.stamp(0.01))) == []
    assert bench.counters.duplicates == 1
    assert bench.play(6) == [6]
    assert not bench.sink.ticks[-1].snapshot
    assert bench.sink.gaps == []


def test_what_was_traded_during_an_outage_is_a_gap() -> None:
    bench = Bench().live(5)
    bench.gate.session_opened()
    assert bench.play(20) == [20]
    assert bench.sink.gaps == [(BTC, 6, 19)]


def test_a_snapshot_of_a_missed_trade_belongs_to_the_gap_so_that_the_refill_brings_it_to_the_exits() -> None:
    bench = Bench().live(5)
    bench.gate.session_opened()
    bench.play(8, age=30)
    assert bench.sink.ticks[-1].snapshot
    assert bench.sink.gaps == [(BTC, 6, 8)]
    assert bench.play(9) == [9]
    assert bench.sink.gaps == [(BTC, 6, 8)]


def test_a_new_session_may_count_its_messages_anew() -> None:
    bench = Bench()
    bench.play(Print(5, sequence=9_000_000))
    bench.gate.session_opened()
    assert bench.play(Print(6, sequence=3), Print(7, sequence=4)) == [6, 7]


# -- a venue that starts over ------------------------------------------------------------------------------------


def test_a_venue_that_numbers_its_trades_anew_is_followed_after_three_newer_prints() -> None:
    bench = Bench().live(5_000_000)
    assert bench.play(1, 2, 3, 4, 5) == [3, 4, 5]
    assert bench.counters.restarts == 1
    assert bench.counters.duplicates == 2


def test_a_poisoned_trade_id_does_not_silence_the_product() -> None:
    bench = Bench().live(5)
    assert bench.play(10**18, 6, 7, 8, 9) == [10**18, 8, 9]


def test_a_poisoned_sequence_does_not_silence_the_product() -> None:
    bench = Bench().live(5)
    assert bench.play(Print(6, sequence=10**18), 7, 8, 9, 10) == [6, 9, 10]
    assert bench.sink.gaps == [(BTC, 7, 8)]


def test_old_prints_replayed_in_a_row_are_no_restart() -> None:
    bench = Bench().live(100)
    old = [Print(number, venue_time=bench.stamp(-200 + number)) for number in range(1, 50)]
    assert bench.play(*old) == []
    assert bench.counters.restarts == 0
    assert bench.counters.duplicates == 49


def test_strange_prints_among_good_ones_never_add_up_to_a_restart() -> None:
    bench = Bench().live(100)
    assert bench.play(1, 101, 2, 102, 3, 103, 4, 104) == [101, 102, 103, 104]
    assert bench.counters.restarts == 0


# -- heartbeats --------------------------------------------------------------------------------------------------


def test_a_heartbeat_is_told_and_zero_says_nothing() -> None:
    bench = Bench().live(5)
    bench.beat(0)
    bench.beat(0)
    assert [symbol for symbol, _ in bench.sink.beats] == [BTC, BTC]
    assert bench.sink.gaps == []


def test_trades_that_only_the_heartbeat_knows_are_a_gap_after_the_grace() -> None:
    bench = Bench().live(5)
    bench.beat(7)
    assert bench.sink.gaps == []
    bench.beat(7)
    assert bench.sink.gaps == [(BTC, 6, 7)]
    bench.beat(7)
    assert bench.sink.gaps == [(BTC, 6, 7)]
    assert bench.play(8) == [8]
    assert bench.sink.gaps == [(BTC, 6, 7)]


def test_a_ticker_that_lags_behind_its_heartbeat_is_no_gap() -> None:
    bench = Bench().live(5)
    bench.beat(7)
    assert bench.play(6, 7) == [6, 7]
    bench.beat(7)
    bench.beat(7)
    assert bench.sink.gaps == []


def test_a_busy_market_is_not_mistaken_for_loss_by_heartbeats_that_are_always_ahead() -> None:
    bench = Bench().live(5)
    for last in range(10, 100, 5):
        bench.beat(last)
        bench.play(*range(last - 4, last + 1))
    assert bench.sink.gaps == []


def test_a_heartbeat_before_any_print_is_no_gap() -> None:
    bench = Bench()
    bench.beat(900)
    bench.beat(900)
    assert bench.sink.gaps == []
