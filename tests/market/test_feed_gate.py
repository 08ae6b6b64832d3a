"""Which prints are news, which are replays, which are holes: the gate on its own, with time as a number."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from apps.domain.feed_rules import is_away
from apps.market.feeds.base import GateRules
from apps.market.feeds.counters import FeedCounters
from apps.market.feeds.gate import Gate
from tests.market.following import Recorder

START = datetime(2026, 1, 5, 12, 0, 0, tzinfo=UTC)
SECOND = 1_000_000_000
BTC = "BTC-USD"


@dataclass
class Print:
    """One print of the test's venue."""

    trade_id: int
    price: str = "100.00"
    symbol: str = BTC
    sequence: int = 0
    size: str = "1"
    side: str = "buy"
    bid: str = ""
    ask: str = ""
    venue_time: str = ""


class Bench:
    """A gate, its sink, and a clock in seconds since START; the venue's clock runs `ahead` of ours."""

    def __init__(self, *, known: dict[str, int] | None = None, ahead: float = 0.0, **rules: float) -> None:
        self.sink = Recorder()
        self.counters = FeedCounters()
        self.ahead = ahead
        self.now = 0.0
        self.gate = Gate(
            sink=self.sink,
            counters=self.counters,
            rules=GateRules(**rules),  # type: ignore[arg-type]
            heartbeat_grace=1.0,
            known_trade_ids=known or {},
        )
        self.gate.follow([BTC])

    def stamp(self, at: float) -> str:
        return (START + timedelta(seconds=at + self.ahead)).isoformat()

    def ns(self) -> int:
        return int((START.timestamp() + self.now) * 1e9)

    def play(self, *items: Print | int, age: float = 0.0, step: float = 0.01) -> list[int]:
        """Feed prints `age` seconds old and return the ids that came out."""
        before = len(self.sink.ticks)
        for item in items:
            self.now += step
            entry = Print(item) if isinstance(item, int) else item
            entry.venue_time = entry.venue_time or self.stamp(self.now - age)
            entry.sequence = entry.sequence or entry.trade_id * 10
            self.gate.take(entry, self.ns())
        return [tick.trade_id for tick in self.sink.ticks[before:]]

    def beat(self, last_trade_id: int, *, after: float = 1.0) -> None:
        self.now += after
        self.gate.heartbeat(BTC, last_trade_id, self.stamp(self.now), self.ns())

    def live(self, first: int = 1) -> "Bench":
        """Bring the gate into the middle of a session: `first` is the last id seen."""
        self.play(first)
        return self


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
    bench.sink.gap = lambda *_: told.append("gap")  # type: ignore[method-assign, assignment]
    gate_sink_tick = bench.sink.tick
    bench.gate._hand_on = lambda tick: (told.append("tick"), gate_sink_tick(tick))  # type: ignore[assignment, func-returns-value]
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


# -- numbers -----------------------------------------------------------------------------------------------------


def priced(first: int, *prices: str) -> list[Print]:
    return [Print(first + index, price) for index, price in enumerate(prices)]


def test_a_lone_jump_is_refused_and_the_market_goes_on_from_where_it_was() -> None:
    bench = Bench()
    assert bench.play(*priced(1, "100", "150", "101", "160", "102")) == [1, 3, 5]
    assert bench.counters.rejected == {"jump": 2}
    assert bench.sink.gaps == []


@pytest.mark.parametrize("prices", [("150", "151", "149"), ("50", "50", "50"), ("1000", "999", "1001")])
def test_three_prints_in_a_row_that_agree_are_the_new_market(prices: tuple[str, str, str]) -> None:
    bench = Bench()
    assert bench.play(*priced(1, "100", *prices, prices[0])) == [1, 4, 5]
    assert bench.counters.rejected == {"jump": 2}


def test_prints_that_disagree_do_not_confirm_each_other() -> None:
    bench = Bench()
    assert bench.play(*priced(1, "100", "150", "300", "20", "150", "700")) == [1]


def test_the_same_price_between_two_doubted_ones_ends_their_row() -> None:
    bench = Bench()
    assert bench.play(*priced(1, "100", "150", "150", "100", "150", "150", "100")) == [1, 4, 7]


def test_the_band_moves_along_with_the_market() -> None:
    bench = Bench()
    rising = [f"{100 * 1.15**step:.4f}" for step in range(20)]
    assert bench.play(*priced(1, *rising)) == list(range(1, 21))


def off_market(bench: Bench) -> list[bool]:
    return [tick.off_market for tick in bench.sink.ticks]


def test_a_lone_print_two_percent_away_is_marked_and_not_refused() -> None:
    bench = Bench()
    normal = ["28147.00"] * 5
    bench.play(*priced(1, *normal, "28722.50", "28147.00"))
    assert off_market(bench) == [False] * 5 + [True, False]
    assert bench.counters.off_market == 1


@pytest.mark.parametrize("lone", ["103", "97"])
def test_the_second_print_of_a_product_is_marked_on_either_side(lone: str) -> None:
    bench = Bench()
    bench.play(*priced(1, "100", lone, "100"))
    assert off_market(bench)[1]


def test_a_market_that_really_moved_is_believed_at_the_third_print() -> None:
    bench = Bench()
    bench.play(*priced(1, *["100"] * 5, "103", "103.1", "103", "103.2"))
    assert off_market(bench)[5:] == [True, True, False, False]


def test_a_print_outside_its_own_quote_is_marked() -> None:
    bench = Bench()
    quote = {"bid": "99.9", "ask": "100.1"}
    bench.play(
        Print(1, "100", **quote), Print(2, "101.2", **quote), Print(3, "98.8", **quote), Print(4, "100.9", **quote)
    )
    assert off_market(bench) == [False, True, True, False]


def test_the_calm_window_never_hides_what_the_median_would_show() -> None:
    """The short way past the median must agree with the median worked out every time."""
    bench = Bench()
    seen: list[float] = []
    price = 100.0
    for number in range(1, 4000):
        price *= 1 + (((number * 7919) % 601) - 300) / 40_000
        text = f"{price * (1.02 if number % 97 == 0 else 1):.6f}"
        bench.play(Print(number, text))
        seen.append(float(text))
        ranked = sorted(seen[-5:])
        middles = {ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2]}
        expected = any(is_away(float(text), middle, 0.01) for middle in middles)
        assert bench.sink.ticks[-1].off_market == expected, number
    assert 30 < bench.counters.off_market < 400
