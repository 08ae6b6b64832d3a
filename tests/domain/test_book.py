"""The book of levels against looking at every leg on every tick: equal fires and equal best prices, always."""

import random
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.domain.book import Book, Watch
from apps.domain.ladder import Ladder
from apps.domain.legs import Leg, LegKind, trailing_stop
from apps.domain.sides import Side
from apps.domain.trails import Trail, Trails
from tests.domain.brute import Shelf, Slow, SlowBook, exact

KINDS = (LegKind.STOP_LOSS, LegKind.TAKE_PROFIT, LegKind.TRAILING_STOP, LegKind.BREAK_EVEN)


def cents(count: int) -> Decimal:
    return Decimal(count) / 100


@dataclass
class World:
    """A book, the slow book beside it, and the stored watermarks."""

    price: int = 10_000  # cents
    book: Book = field(default_factory=Book)
    slow: SlowBook = field(default_factory=SlowBook)
    shelf: Shelf = field(default_factory=Shelf)
    made: int = 0
    fired: int = 0

    def add(self, kind: LegKind, side: Side, near: int, far: int, rate: bool, sleeps: bool) -> None:
        self.made += 1
        leg = _leg(kind, side, cents(self.price), cents(near), cents(far), rate, sleeps)
        peak = cents(self.price) if kind == LegKind.TRAILING_STOP and leg.activation is None else None
        one = Slow(self.made, leg, side, peak)
        self.slow.legs[self.made] = one
        self.book.add(one.watch(root=self.made))
        self.shelf.peaks[self.made] = None if peak is None else float(peak)

    def discard(self, pick: int) -> None:
        if self.slow.legs:
            leg_id = sorted(self.slow.legs)[pick % len(self.slow.legs)]
            del self.slow.legs[leg_id]
            assert self.book.discard(leg_id)
            assert leg_id not in self.book
            assert not self.book.discard(leg_id)

    def tick(self, price: int, *, marks: bool = True) -> None:
        if marks:
            self.price = price
        value, text = float(cents(price)), cents(price)
        fired = [] if self.book.low < value < self.book.high else self.book.cross(value, marks=marks)
        found = {(hit.leg_id, exact(hit.peak)) for hit in fired}
        assert len(found) == len(fired)
        wanted = self.slow.cross(text, marks=marks)
        assert found == wanted
        self.fired += len(found)
        assert len(self.book) == len(self.slow.legs)

    def check(self) -> None:
        assert all(leg_id in self.book for leg_id in self.slow.legs)
        assert len(self.book) == len(self.slow.legs)

    def store(self) -> None:
        self.shelf.take(self.book)
        self.check_marks()

    def check_marks(self) -> None:
        for leg_id, leg in self.slow.legs.items():
            if leg.follows:
                assert exact(self.shelf.mark(leg_id)[1]) == leg.peak, leg_id

    def restart(self) -> None:
        """Lose the memory and read everything back."""
        self.store()
        watches = []
        for leg_id, leg in self.slow.legs.items():
            root, peak = self.shelf.mark(leg_id) if leg.follows else (None, None)
            watches.append(leg.watch()._replace(root=root, peak=peak))
        self.book = Book()
        self.book.load(watches)
        self.check()


def _leg(kind: LegKind, side: Side, price: Decimal, near: Decimal, far: Decimal, rate: bool, sleeps: bool) -> Leg:
    sign = side.sign
    match kind:
        case LegKind.STOP_LOSS:
            return Leg(kind=kind, level=price - near * sign)
        case LegKind.TAKE_PROFIT:
            return Leg(kind=kind, level=price + near * sign)
        case LegKind.BREAK_EVEN:
            return Leg(kind=kind, level=price + (far - near) * sign, activation=price + far * sign)
        case _:
            trail = near / 1000 if rate else near
            wakes = price + far * sign if sleeps else None
            return Leg(kind=kind, trail=trail, trail_is_rate=rate, activation=wakes)


sides = st.sampled_from(Side)
operations = st.lists(
    st.one_of(
        st.tuples(
            st.just("add"),
            st.sampled_from(KINDS),
            sides,
            st.integers(1, 60),
            st.integers(1, 80),
            st.booleans(),
            st.booleans(),
        ),
        st.tuples(st.just("tick"), st.integers(-40, 40)),
        st.tuples(st.just("tick"), st.integers(-3, 3)),
        st.tuples(st.just("off"), st.integers(-500, 500)),
        st.tuples(st.just("discard"), st.integers(0, 100)),
        st.tuples(st.just("store")),
        st.tuples(st.just("restart")),
    ),
    max_size=80,
)


def play(world: World, operation: tuple) -> None:
    match operation:
        case ("add", *values):
            world.add(*values)
        case ("tick", step):
            world.tick(max(world.price + step, 1))
        case ("off", jump):
            world.tick(max(world.price + jump, 1), marks=False)
        case ("discard", pick):
            world.discard(pick)
        case ("store",):
            world.store()
        case ("restart",):
            world.restart()


@given(operations)
@settings(max_examples=400, deadline=None)
def test_the_book_fires_what_looking_at_every_leg_would_fire(steps: list[tuple]) -> None:
    world = World()
    for step in steps:
        play(world, step)
    world.store()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_long_walk_with_thousands_of_legs_gives_equal_fires_on_every_tick(seed: int) -> None:
    chance, world = random.Random(seed), World()
    for _ in range(1500):
        for _ in range(chance.choice((0, 0, 1, 2, 8))):
            kind, side = chance.choice(KINDS), chance.choice(list(Side))
            near, far = chance.randint(1, 300), chance.randint(1, 400)
            world.add(kind, side, near, far, chance.random() < 0.5, chance.random() < 0.3)
        if chance.random() < 0.1:
            world.discard(chance.randrange(1000))
        if chance.random() < 0.03:
            world.tick(max(world.price + chance.randint(-900, 900), 1), marks=False)
        if chance.random() < 0.02:
            world.store()
        if chance.random() < 0.005:
            world.restart()
        world.tick(max(world.price + round(chance.gauss(0, 12)), 1))
    world.store()
    world.check()
    assert world.fired > 800
    assert len(world.slow.legs) > 100


@dataclass
class Pair:
    """A leader and a standby that see the same ticks, learn of legs at times of their own, and share one shelf."""

    chance: random.Random
    price: int = 10_000
    slow: SlowBook = field(default_factory=SlowBook)
    shelf: Shelf = field(default_factory=Shelf)
    books: list[Book] = field(default_factory=lambda: [Book(), Book()])
    late: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    leader: int = 0
    made: int = 0

    def open(self) -> None:
        self.made += 1
        side, rate = self.chance.choice(list(Side)), self.chance.random() < 0.5
        near = cents(self.chance.randint(5, 200))
        leg = _leg(LegKind.TRAILING_STOP, side, cents(self.price), near, cents(1), rate, False)
        self.slow.legs[self.made] = Slow(self.made, leg, side, cents(self.price))
        self.shelf.peaks[self.made] = float(cents(self.price))
        for waiting in self.late:
            waiting.append(self.made)

    def arrive(self, which: int) -> None:
        """Take in the waiting legs; a listener replays the ticks it missed, so each has its true best price by now."""
        for leg_id in self.late[which]:
            one = self.slow.legs.get(leg_id)
            if one is not None:
                root, stored = self.shelf.mark(leg_id)
                self.books[which].add(one.watch(root=root), moved=exact(stored) != one.peak)
        self.late[which].clear()

    def tick(self) -> None:
        self.price = max(self.price + round(self.chance.gauss(0, 10)), 1)
        wanted = self.slow.cross(cents(self.price), marks=True)
        for book, waiting in zip(self.books, self.late, strict=True):
            found = {hit.leg_id for hit in book.cross(float(cents(self.price)))}
            assert found == {leg_id for leg_id, _ in wanted if leg_id not in waiting}

    def store(self) -> None:
        self.shelf.take(self.books[self.leader])
        for leg_id, one in self.slow.legs.items():
            if leg_id not in self.late[self.leader]:
                assert exact(self.shelf.mark(leg_id)[1]) == one.peak

    def hand_over(self) -> None:
        """Let the standby lead; the former leader starts anew from the shelf and the refilled trades."""
        former, self.leader = self.leader, 1 - self.leader
        self.arrive(self.leader)
        self.shelf.lead(self.books[self.leader])
        fresh = Book()
        fresh.load(one.watch(root=self.shelf.mark(leg_id)[0]) for leg_id, one in self.slow.legs.items())
        self.late[former].clear()
        self.books[former] = fresh


@pytest.mark.parametrize("seed", range(20))
def test_whoever_leads_what_is_stored_of_best_prices_stays_exact(seed: int) -> None:
    pair = Pair(random.Random(seed))
    for _ in range(400):
        if pair.chance.random() < 0.4:
            pair.open()
        for which in (0, 1):
            if pair.chance.random() < 0.3:
                pair.arrive(which)
        pair.tick()
        if pair.chance.random() < 0.2:
            pair.store()
        if pair.chance.random() < 0.02:
            pair.hand_over()
    assert pair.made > 100


def test_nothing_fires_between_the_two_numbers_of_a_book() -> None:
    book = Book()
    assert (book.low, book.high) == (-inf, inf)
    book.add(Watch(1, 1, LegKind.STOP_LOSS, level=95.0))
    book.add(Watch(2, 1, LegKind.TAKE_PROFIT, level=110.0))
    assert (book.low, book.high) == (95.0, 110.0)
    assert book.cross(95.01) == []
    assert [hit.leg_id for hit in book.cross(95.0)] == [1]
    assert (book.low, book.high) == (-inf, 110.0)


def test_an_off_market_print_fires_a_stop_but_wakes_and_lifts_nothing() -> None:
    book = Book()
    book.add(Watch(1, 1, LegKind.TRAILING_STOP, trail=2.0, peak=100.0))
    book.add(Watch(2, 1, LegKind.BREAK_EVEN, level=100.0, activation=105.0))
    book.add(Watch(3, -1, LegKind.STOP_LOSS, level=120.0))
    assert [hit.leg_id for hit in book.cross(150.0, marks=False)] == [3]
    assert book.cross(99.0) == []
    assert book.collect() == ({}, {})


def test_a_leg_added_twice_fires_once() -> None:
    book = Book()
    for _ in range(2):
        book.add(Watch(1, 1, LegKind.STOP_LOSS, level=95.0))
        book.add(Watch(2, 1, LegKind.TRAILING_STOP, trail=4.0, peak=100.0))
    assert len(book) == 2
    assert [hit.leg_id for hit in book.cross(90.0)] == [1, 2]
    assert len(book) == 0


def test_a_leg_watched_again_after_it_was_forgotten_fires_once() -> None:
    book = Book()
    for leg in (Watch(1, 1, LegKind.STOP_LOSS, level=95.0), Watch(2, 1, LegKind.TRAILING_STOP, trail=4.0, peak=100.0)):
        for _ in range(3):
            book.add(leg)
            assert book.discard(leg.leg_id)
        book.add(leg)
    assert sorted(hit.leg_id for hit in book.cross(90.0)) == [1, 2]


def test_a_trailing_leg_without_a_best_price_is_a_bug_and_loud() -> None:
    with pytest.raises(ValueError, match="best price"):
        Book().add(Watch(1, 1, LegKind.TRAILING_STOP, trail=2.0))


def test_a_time_stop_is_not_a_matter_of_price() -> None:
    book = Book()
    book.add(Watch(1, 1, LegKind.TIME_STOP))
    assert len(book) == 0


# --- the parts ------------------------------------------------------------------------------------------------------


@given(st.booleans(), st.lists(st.tuples(st.integers(0, 30), st.integers(1, 50), st.booleans()), max_size=60))
def test_a_ladder_gives_what_sorting_would(rising: bool, steps: list[tuple[int, int, bool]]) -> None:
    ladder, plain = Ladder(rising=rising), {}
    for leg_id, level, drop in steps:
        if drop:
            assert ladder.discard(leg_id) == (plain.pop(leg_id, None) is not None)
        elif leg_id not in plain:
            plain[leg_id] = 100.0 + leg_id  # a leg keeps its level for life
            ladder.add(leg_id, plain[leg_id])
        price = 100.0 + level if rising else 150.0 - level
        hit = {k for k, v in plain.items() if (v <= price if rising else v >= price)}
        if level % 5 == 0:
            assert set(ladder.take(price)) == hit
            plain = {k: v for k, v in plain.items() if k not in hit}
        beyond = [v if rising else -v for v in plain.values()]
        assert ladder.nearest == (min(beyond, default=inf) if rising else -min(beyond, default=inf))
        assert len(ladder) == len(plain)


def test_a_ladder_gives_the_nearest_first() -> None:
    ladder = Ladder(rising=False)
    ladder.load([(1, 90.0), (2, 95.0), (3, 92.5)])
    assert ladder.take(85.0) == [2, 3, 1]


def test_a_ladder_forgets_what_it_was_told_to_forget() -> None:
    ladder = Ladder(rising=True)
    ladder.load((leg_id, float(leg_id)) for leg_id in range(1, 5001))
    for leg_id in range(1, 4990):
        ladder.discard(leg_id)
    assert len(ladder) == 11
    assert ladder.nearest == 4990.0
    assert len(ladder._heap) < 1100  # the dead ones do not stay for ever


rates = st.integers(1, 500).map(lambda count: Decimal(count) / 100_000)


@given(sides, st.integers(1, 10**7), st.integers(-3, 3), rates)
def test_the_trailing_rule_in_decimal_is_the_decision_of_the_floats(
    side: Side, peak: int, off: int, rate: Decimal
) -> None:
    """Around the level itself, where a float multiplication may be off in its last digit."""
    leg = Leg(kind=LegKind.TRAILING_STOP, trail=rate, trail_is_rate=True)
    level = trailing_stop(leg, side, cents(peak))
    price = level.quantize(Decimal("0.01")) + cents(off)
    trails = Trails(side.sign)
    trails.add(Trail(1, float(rate), True, float(cents(peak))))
    fires = (level - price) * side.sign >= 0
    guarded = (trails.guard - float(price)) * side.sign >= 0
    assert bool(guarded and trails.take(float(price))) is fires


def test_trails_that_ride_one_best_price_share_one_watermark() -> None:
    trails = Trails(1)
    for leg_id in range(1, 1001):
        trails.add(Trail(leg_id, 50.0, False, 1000.0 - leg_id / 100))
    trails.lift(1001.0)
    assert trails.moved == {next(iter(trails.moved)): 1001.0}
    assert len(trails.merged) == 999
    assert list(trails.peaks().values()) == [1001.0]
