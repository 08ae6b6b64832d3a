"""Trails that are taken out and come back: what the store is told stays a forest with the right best prices.

A crossing that did not count puts its leg back among the watched ones, with the root the store knew of it. Once, that
could make two groups ride each other, and every query that follows riders to their root never ended.
"""

import random
from dataclasses import dataclass, field

import pytest

from apps.domain.trails import Trail, Trails


@dataclass
class Store:
    """The watermark rows: the best price of each root, and who rides with whom."""

    peaks: dict[int, float] = field(default_factory=dict)
    rides: dict[int, int] = field(default_factory=dict)

    def flush(self, trails: Trails) -> None:
        assert not set(trails.moved) & set(trails.merged), "a leg both rides and stands for itself"
        self.rides |= trails.merged
        for leg, peak in trails.moved.items():
            self.peaks[leg] = peak
            self.rides.pop(leg, None)
        trails.moved, trails.merged = {}, {}

    def root(self, leg: int) -> int:
        seen = set()
        while leg in self.rides:
            assert leg not in seen, f"{leg} rides itself"
            seen.add(leg)
            leg = self.rides[leg]
        return leg


@pytest.mark.parametrize("seed", range(150))
@pytest.mark.parametrize("sign", [1, -1])
def test_the_store_ends_with_the_best_price_of_every_leg(seed: int, sign: int) -> None:
    chance = random.Random(seed)
    trails, store = Trails(sign), Store()
    best: dict[int, float] = {}  # the model: each leg's best price, kept one by one
    price, last = 1000.0, 0
    for _ in range(200):
        match chance.randrange(6):
            case 0:
                last += 1
                best[last] = price
                store.peaks[last] = price
                trails.add(Trail(last, 500.0, False, price), last)
            case 1 if best:
                leg = chance.choice(list(best))  # it is taken out, and returns with what the store knows of it
                trails.discard(leg)
                trails.add(Trail(leg, 500.0, False, best[leg]), store.root(leg), moved=chance.random() < 0.5)
            case 2:
                store.flush(trails)
            case _:
                price += chance.choice([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])
                if (price - trails.turn) * sign > 0:
                    trails.lift(price)
                best = {leg: max(peak * sign, price * sign) * sign for leg, peak in best.items()}
    store.flush(trails)
    assert {leg: store.peaks[store.root(leg)] for leg in best} == best


def test_two_groups_whose_riders_change_places_do_not_ride_each_other() -> None:
    trails, store = Trails(1), Store()
    for leg, peak in ((1, 101.0), (2, 101.0), (3, 100.0), (4, 100.0)):
        store.peaks[leg] = peak
        trails.add(Trail(leg, 5.0, False, peak), leg)
    store.flush(trails)
    assert (store.root(2), store.root(4)) == (1, 3)
    for leg, other in ((2, 100.0), (4, 101.0)):
        trails.discard(leg)
        trails.add(Trail(leg, 5.0, False, other), store.root(leg), moved=True)
        store.flush(trails)
    assert {store.root(leg) for leg in (1, 2, 3, 4)} == {1, 3}
