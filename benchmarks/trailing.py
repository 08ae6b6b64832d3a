"""Trailing stops: what a tick costs with a million of them, and whether every one fires at the very tick it should."""

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.domain.book import Book, Watch
from apps.domain.legs import LegKind
from benchmarks.figures import Goal, Table

INSTRUMENTS = 100
START = 100_000  # cents
BASIS = 10_000  # a rate of 1 is this many basis points


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    positions: tuple[int, ...]
    opening_ticks: int
    ticks: int
    sample: int


QUICK = Size(positions=(20_000,), opening_ticks=10_000, ticks=50_000, sample=5_000)
FULL = Size(positions=(100_000, 1_000_000), opening_ticks=100_000, ticks=500_000, sample=50_000)
Cents = NDArray[np.int64]


@dataclass(slots=True, kw_only=True)
class Crowd:
    """Positions in columns: whole cents and basis points, so that the brute force needs no fractions."""

    instrument: Cents
    sign: Cents
    trail: Cents  # cents, or basis points where it is a rate
    is_rate: NDArray[np.bool_]
    opened: Cents  # the tick of its instrument's market it was opened at

    def __len__(self) -> int:
        return len(self.sign)


def run(size: Size, folder: Path) -> Table:
    """Measure every size and compare a sample with the brute force."""
    del folder
    table = Table(
        title="Trailing stops: random walks on 100 instruments, new highs and fires included",
        columns=(
            "positions",
            "us per tick",
            "us per tick that only looks",
            "us per stop fired",
            "fired",
            "checked",
            "wrong",
        ),
    )
    wrong = 0
    for count in size.positions:
        crowd, markets = _crowd(count, size), _markets(size)
        fired, early, took, busy = _book(crowd, markets, size)
        picked = np.sort(np.random.default_rng(9).choice(count, min(size.sample, count), replace=False))
        expected = _brute(crowd, markets, picked)
        here = sum(fired.get(leg, -1) != at for leg, at in zip(picked.tolist(), expected.tolist(), strict=True))
        wrong += here
        per_fire, looks = busy / max(len(fired) - early, 1) * 1e6, (took - busy) / size.ticks * 1e6
        table.rows.append((count, took / size.ticks * 1e6, looks, per_fire, len(fired) - early, len(picked), here))
        gc.collect()
    table.goals.append(
        Goal(text="positions that fired at another tick than by brute force", value=wrong, limit=0, at_most=True)
    )
    table.notes.append(
        "half absolute distances, half rates, longs and shorts, opened all along the walk before the measured ticks"
    )
    table.notes.append(
        f"for comparison, a scan of one instrument's 10,000 positions with numpy: {_scan():.0f} us per tick"
    )
    return table


def _markets(size: Size) -> Cents:
    """Draw one walk per instrument: a row of prices in cents for every round of ticks."""
    rounds = (size.opening_ticks + size.ticks) // INSTRUMENTS
    steps = np.random.default_rng(3).integers(-5, 6, (rounds, INSTRUMENTS))
    return START + np.cumsum(steps, axis=0)


def _crowd(count: int, size: Size) -> Crowd:
    draw = np.random.default_rng(5)
    is_rate = draw.random(count) < 0.5
    distance = np.exp(draw.uniform(np.log(100), np.log(20_000), count)).astype(np.int64)
    rate = np.exp(draw.uniform(np.log(10), np.log(2_000), count)).astype(np.int64)
    return Crowd(
        instrument=np.arange(count) % INSTRUMENTS,
        sign=np.where(draw.random(count) < 0.5, 1, -1),
        trail=np.where(is_rate, rate, distance),
        is_rate=is_rate,
        opened=np.sort(draw.integers(0, size.opening_ticks // INSTRUMENTS, count)),
    )


def _book(crowd: Crowd, markets: Cents, size: Size) -> tuple[dict[int, int], int, float, float]:
    """Run the walk through the product's books.

    Returns who fired in which round, how many of them before the measured ticks, seconds, and those of busy ticks.
    """
    books, fired = [Book() for _ in range(INSTRUMENTS)], {}
    prices = (markets / 100).round(2).tolist()
    first = size.opening_ticks // INSTRUMENTS
    position = 0
    for number in range(first):
        _round(books, prices[number], number, fired)
        while position < len(crowd) and crowd.opened[position] == number:
            books[position % INSTRUMENTS].add(_watch(crowd, position, prices[number]))
            position += 1
    early, busy, began = len(fired), 0.0, time.perf_counter()
    for number in range(first, len(prices)):
        busy += _round(books, prices[number], number, fired)
    return fired, early, time.perf_counter() - began, busy


def _round(books: Sequence[Book], prices: Sequence[float], number: int, fired: dict[int, int]) -> float:
    """Give every instrument its next tick, as the listener does; return the seconds of ticks that moved something."""
    busy = 0.0
    for book, price in zip(books, prices, strict=True):
        if not book.low < price < book.high:
            began = time.perf_counter()
            for hit in book.cross(price):
                fired[hit.leg_id - 1] = number
            busy += time.perf_counter() - began
    return busy


def _watch(crowd: Crowd, position: int, prices: Sequence[float]) -> Watch:
    is_rate = bool(crowd.is_rate[position])
    return Watch(
        leg_id=position + 1,
        sign=int(crowd.sign[position]),
        kind=LegKind.TRAILING_STOP,
        trail=int(crowd.trail[position]) / (BASIS if is_rate else 100),
        is_rate=is_rate,
        peak=prices[position % INSTRUMENTS],
    )


def _brute(crowd: Crowd, markets: Cents, picked: Cents) -> Cents:
    """Follow each picked position by itself, in whole numbers; return the round it fires in, or -1."""
    sign, trail, is_rate = crowd.sign[picked], crowd.trail[picked], crowd.is_rate[picked]
    instrument, opened = crowd.instrument[picked], crowd.opened[picked]
    peak = markets[opened, instrument]
    answer = np.full(len(picked), -1)
    for number in range(len(markets)):
        alive = np.flatnonzero((opened < number) & (answer < 0))
        price, side = markets[number, instrument[alive]], sign[alive]
        best = np.where(side > 0, np.maximum(peak[alive], price), np.minimum(peak[alive], price))
        peak[alive] = best
        room = np.where(is_rate[alive], best * trail[alive], trail[alive] * BASIS)
        answer[alive[(best * BASIS - room * side - price * BASIS) * side >= 0]] = number
    return answer


def _scan() -> float:
    """Return the microseconds of one tick against 10,000 positions by a scan."""
    peak, trail = np.full(10_000, 1000.0), np.full(10_000, 50.0)
    began = time.perf_counter()
    for number in range(1_000):
        np.maximum(peak, 1000.0 + number * 0.01, out=peak)
        np.flatnonzero(peak - trail >= 1000.0 + number * 0.01)
    return (time.perf_counter() - began) * 1e3
