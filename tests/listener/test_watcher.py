"""Ticks against levels: each crossing once, with the tick that made it, also for levels and trades that come late."""

import random
import threading
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from apps.domain.book import Watch
from tests.listener.feeding import START_NS, Ear, break_even, changed, stop, target, tick, trailing
from workers.listener import watch
from workers.listener.tape import RING, from_ns


@pytest.fixture
def ear() -> Ear:
    return Ear()


def test_a_crossing_is_handed_on_once_with_the_tick_that_made_it(ear: Ear) -> None:
    ear.watcher.load([(1, stop(7, 95.0)), (1, target(8, 110.0))])
    for number, price in enumerate(("100", "95.01", "94.5", "94", "80", "109")):
        ear.watcher.tick(tick(price, number, ms=number))
    (crossing,) = ear.crossings
    assert (crossing.leg_id, crossing.price, crossing.trade_id, crossing.peak) == (7, "94.5", 2, None)
    assert crossing.tick_at == crossing.counts_at == from_ns(START_NS) + timedelta(milliseconds=2)
    assert crossing.seen_at >= crossing.tick_at - timedelta(seconds=60)
    assert crossing.venue_at == crossing.tick_at.isoformat()


def test_the_price_is_the_text_the_venue_sent(ear: Ear) -> None:
    ear.watcher.load([(1, stop(7, 95.0))])
    ear.watcher.tick(tick("94.5000", 1))
    assert ear.crossings[0].price == "94.5000"


def test_several_legs_of_one_tick_are_handed_on_together(ear: Ear) -> None:
    ear.watcher.load([(1, stop(leg_id, 90.0 + leg_id)) for leg_id in range(1, 6)])
    ear.watcher.tick(tick("93", 1))
    assert sorted(ear.legs) == [3, 4, 5]
    assert {crossing.trade_id for crossing in ear.crossings} == {1}


def test_the_replay_of_an_old_trade_fires_nothing_and_moves_nothing(ear: Ear) -> None:
    ear.watcher.load([(1, stop(7, 95.0)), (1, trailing(8, 2.0, 100.0))])
    ear.watcher.tick(tick("50", 1, snapshot=True))
    ear.watcher.tick(tick("150", 2, snapshot=True))
    ear.watcher.tick(tick("98.01", 3))
    assert ear.crossings == []
    assert ear.watcher.marks() == ({}, {})


def test_an_off_market_print_fires_a_stop_but_moves_no_trailing_mark(ear: Ear) -> None:
    ear.watcher.load([(1, stop(7, 95.0)), (1, trailing(8, 2.0, 100.0))])
    ear.watcher.tick(tick("150", 1, off_market=True))
    ear.watcher.tick(tick("98.01", 2))
    assert ear.crossings == []
    ear.watcher.tick(tick("90", 3, off_market=True))
    assert sorted(ear.legs) == [7, 8]


def test_a_trailing_stop_is_handed_on_with_the_best_price_it_depends_on(ear: Ear) -> None:
    ear.watcher.load([(1, trailing(7, 2.0, 100.0))])
    for number, price in enumerate(("101", "103.5", "102", "101.5")):
        ear.watcher.tick(tick(price, number))
    assert [(c.leg_id, c.peak, c.trade_id) for c in ear.crossings] == [(7, "103.5", 3)]


# --- levels that come late ------------------------------------------------------------------------------------------


def test_a_level_that_arrives_after_the_tick_that_crosses_it_fires_with_that_tick(ear: Ear) -> None:
    for number, price in enumerate(("100", "94", "101")):
        ear.watcher.tick(tick(price, number, ms=number))
    ear.watcher.change([changed(stop(7, 95.0), ms=0.5)])
    assert ear.fired() == [(7, "94", 1)]
    ear.watcher.tick(tick("90", 4, ms=4))
    assert len(ear.crossings) == 1


def test_a_level_made_after_the_tick_is_not_crossed_by_it(ear: Ear) -> None:
    ear.watcher.tick(tick("94", 1, ms=1))
    ear.watcher.change([changed(stop(7, 95.0), ms=1.001)])
    assert ear.crossings == []
    ear.watcher.tick(tick("94.5", 2, ms=2))
    assert ear.fired() == [(7, "94.5", 2)]


def test_a_level_made_in_the_very_microsecond_of_the_tick_is_crossed_by_it(ear: Ear) -> None:
    """Both clocks count microseconds; where they say the same, the stop counts."""
    for ms in (1.001, 33.333, 777.777, 900.001):
        one = Ear()
        one.watcher.tick(tick("94", 1, ms=ms))
        one.watcher.change([changed(stop(7, 95.0), ms=ms)])
        assert one.legs == [7], ms


def test_a_late_trail_knows_the_best_price_since_it_was_made_and_not_before(ear: Ear) -> None:
    for number, price in enumerate(("120", "100", "105", "104")):
        ear.watcher.tick(tick(price, number, ms=number))
    ear.watcher.change([changed(trailing(7, 2.0, 100.0), ms=0.5)])
    assert ear.crossings == []
    ear.watcher.tick(tick("103", 4, ms=4))
    assert [(c.leg_id, c.peak) for c in ear.crossings] == [(7, "105.0")]


def test_what_a_late_leg_has_seen_of_best_prices_is_news_to_the_store(ear: Ear) -> None:
    """Otherwise a restart would forget that it woke, or how high it has been."""
    for number, price in enumerate(("100", "105", "104")):
        ear.watcher.tick(tick(price, number, ms=number))
    legs = [trailing(7, 9.0, 100.0), break_even(8, 100.0, 105.0), trailing(9, 9.0, 106.0)]
    ear.watcher.change([changed(leg, ms=0.5) for leg in legs])
    peaks, rides = ear.watcher.marks()
    assert (peaks, rides) == ({7: 105.0, 8: 105.0}, {})


def test_a_late_break_even_that_woke_on_the_way_fires(ear: Ear) -> None:
    for number, price in enumerate(("100", "105", "100.4", "103")):
        ear.watcher.tick(tick(price, number, ms=number))
    ear.watcher.change([changed(break_even(7, 100.5, 105.0), ms=-1)])
    assert [(c.leg_id, c.trade_id, c.peak) for c in ear.crossings] == [(7, 2, "105.0")]


def test_a_tick_that_falls_between_comparing_and_watching_is_not_lost(
    ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay = watch._replay

    def meanwhile(*args: Any) -> Any:
        answer = replay(*args)
        ear.watcher.tick(tick("94", 2, ms=2))  # nothing is watched yet, so it passes without a lock
        return answer

    monkeypatch.setattr(watch, "_replay", meanwhile)
    ear.watcher.tick(tick("100", 1, ms=1))
    ear.watcher.change([changed(stop(7, 95.0))])
    assert ear.fired() == [(7, "94", 2)]


def test_a_leg_that_is_known_is_not_compared_again(ear: Ear) -> None:
    ear.watcher.change([changed(stop(7, 95.0))])
    ear.watcher.tick(tick("96", 1))
    ear.watcher.change([changed(stop(7, 95.0))])
    ear.watcher.tick(tick("95", 2))
    assert ear.legs == [7]


def test_a_leg_that_is_no_longer_live_fires_no_more(ear: Ear) -> None:
    ear.watcher.change([changed(stop(7, 95.0)), changed(trailing(8, 2.0, 100.0))])
    ear.watcher.change([changed(stop(7, 95.0), live=False), changed(trailing(8, 2.0, 100.0), live=False)])
    ear.watcher.tick(tick("50", 1))
    assert ear.crossings == []


def test_a_leg_of_an_instrument_that_is_not_followed_is_left_to_others(ear: Ear) -> None:
    ear.watcher.change([changed(stop(7, 95.0), instrument_id=99)])
    ear.watcher.tick(tick("50", 1))
    assert ear.crossings == []


# --- trades that come late ------------------------------------------------------------------------------------------


def refill(*items: tuple[str, int, float], received: float = 500) -> list:
    """Make trades of a gap: traded `ms` after the start, fetched much later."""
    return [
        tick(
            price,
            number,
            ms=received,
            venue_time=(from_ns(START_NS) + timedelta(milliseconds=ms)).isoformat(),
            refilled=True,
        )
        for price, number, ms in items
    ]


def test_a_refilled_trade_fires_with_its_own_number_and_price(ear: Ear) -> None:
    ear.watcher.load([(1, stop(7, 95.0))])
    ear.watcher.tick(tick("100", 1, ms=1))
    ear.watcher.tick(tick("101", 5, ms=5))
    ear.watcher.take_late(ear.tape, refill(("99", 2, 2), ("94", 3, 3), ("97", 4, 4)))
    assert ear.fired() == [(7, "94", 3)]
    assert ear.crossings[0].counts_at == from_ns(START_NS) + timedelta(milliseconds=3)  # when the market was there
    assert ear.crossings[0].tick_at == from_ns(START_NS) + timedelta(milliseconds=500)  # when we knew


def test_what_refilled_trades_moved_is_compared_with_the_newest_price(ear: Ear) -> None:
    ear.watcher.load([(1, trailing(7, 2.0, 100.0))])
    ear.watcher.tick(tick("100", 1, ms=1))
    ear.watcher.tick(tick("101", 4, ms=4))
    ear.watcher.take_late(ear.tape, refill(("103.5", 2, 2), ("102", 3, 3)))
    assert [(c.leg_id, c.trade_id, c.peak) for c in ear.crossings] == [(7, 4, "103.5")]


def test_refilled_trades_at_the_end_of_the_line_are_ticks_like_others(ear: Ear) -> None:
    ear.watcher.load([(1, stop(7, 95.0))])
    ear.watcher.take_late(ear.tape, refill(("96", 1, 1), ("94", 2, 2)))
    assert ear.fired() == [(7, "94", 2)]
    assert [item.trade_id for item in ear.tape.ring] == [1, 2]
    assert not ear.tape.refilled


def test_refilled_trades_are_kept_for_the_store(ear: Ear) -> None:
    ear.watcher.tick(tick("100", 5))
    ear.watcher.take_late(ear.tape, refill(("99", 3, 1), ("98", 4, 2)))
    assert [item.trade_id for item in ear.tape.refilled] == [3, 4]


def test_trades_that_never_come_are_counted(ear: Ear) -> None:
    ear.watcher.uncovered("BTC-USD", 5, 9, "too old")
    assert ear.watcher.lost_trades == 5


# --- everything at once ---------------------------------------------------------------------------------------------
COUNT = 20_000


class Walk:
    """A random walk of prices a microsecond apart, and legs that are made somewhere on it."""

    def __init__(self, seed: int, legs: int) -> None:
        self.chance = random.Random(seed)
        cents, self.cents = 10_000, []
        for _ in range(COUNT):
            cents = max(cents + round(self.chance.gauss(0, 6)), 100)
            self.cents.append(cents)
        self.legs = sorted((self._leg(number) for number in range(1, legs + 1)), key=lambda item: item[0])

    def _leg(self, number: int) -> tuple[int, Watch]:
        """Return the index of the last tick before the leg was made, and the leg."""
        made = self.chance.randrange(COUNT - 10)
        near, sign = self.chance.randint(1, 250), self.chance.choice((1, -1))
        price = self.cents[made]
        kind = self.chance.randrange(3)
        if kind == 0:
            return made, stop(number, (price - sign * near) / 100, sign)
        if kind == 1:
            return made, target(number, (price + sign * near) / 100, sign)
        return made, trailing(number, near / 100, price / 100, sign)

    def first(self, made: int, leg: Watch) -> int | None:
        """Return the index of the tick that fires a leg, by looking at every one after it was made."""
        best = self.cents[made]
        level = 0 if leg.level is None else int(Decimal(repr(leg.level)) * 100)
        trail = 0 if leg.trail is None else int(Decimal(repr(leg.trail)) * 100)
        for index in range(made + 1, COUNT):
            price = self.cents[index]
            if trail:
                best = max(best * leg.sign, price * leg.sign) * leg.sign
                level = best - trail * leg.sign
            toward = leg.sign if leg.kind == "take_profit" else -leg.sign
            if (price - level) * toward >= 0:
                return index
        return None


def bring(ear: Ear, walk: Walk, pushed: list[int], brought: list[int]) -> None:
    """Bring every leg after its time, from a thread of its own, as fast as it can."""
    for made, leg in walk.legs:
        while pushed[0] <= made:
            time.sleep(0)
        ear.watcher.change([changed(leg, ms=(made * 2 + 1) / 1000)])
        ear.watcher.marks()
        brought[0] = made
    brought[0] = COUNT


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_levels_that_arrive_while_ticks_flow_lose_nothing(seed: int) -> None:
    walk, ear = Walk(seed, legs=3_000), Ear()
    pushed, brought = [0], [0]
    thread = threading.Thread(target=bring, args=(ear, walk, pushed, brought), daemon=True)
    thread.start()
    for index, cents in enumerate(walk.cents):
        ear.watcher.tick(tick(str(Decimal(cents) / 100), index, ms=index * 2 / 1000))
        pushed[0] = index + 1
        while index - brought[0] > RING // 2:  # no later than the ring remembers
            time.sleep(0)
    thread.join(60)
    assert not thread.is_alive()
    wanted = {leg.leg_id: walk.first(made, leg) for made, leg in walk.legs}
    found = {crossing.leg_id: crossing.trade_id for crossing in ear.crossings}
    assert len(found) == len(ear.crossings)
    assert found == {key: index for key, index in wanted.items() if index is not None}
    assert len(found) > 1_500


def test_the_ring_covers_what_a_level_needs_to_arrive() -> None:
    """At 10,000 ticks a second of one instrument a level has 400 ms, twenty times what it takes."""
    assert RING / 10_000 >= 0.4
