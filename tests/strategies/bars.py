"""Bars for tests: flat ones around given closes, seeded markets, and parts of them."""

from datetime import UTC, datetime

import numpy as np

from apps.domain.strategies.contract import Candles

BASE = int(datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp())


def of_closes(*closes: float, seconds: int = 60) -> Candles:
    values = np.array(closes, np.float64)
    return Candles(times(len(values), seconds), values, values, values, values, np.ones_like(values))


def times(count: int, seconds: int = 60) -> np.ndarray:
    return BASE + seconds * np.arange(count, dtype=np.int64)


def walk(count: int, seed: int = 7) -> Candles:
    steps = np.random.default_rng(seed).normal(0, 0.002, count)
    return of_closes(*(100 * np.exp(np.cumsum(steps))).round(2))


def market(count: int, seed: int = 7, *, drift: float = 0.0, step: float = 0.01) -> Candles:
    """Return bars with highs, lows, gaps and volumes, prices in cents; every tenth bar stands still."""
    source = np.random.default_rng(seed)
    moves = source.normal(drift, step, count) * (source.random(count) > 0.1)
    close = (100 * np.exp(np.cumsum(moves))).round(2)
    opened = (np.concatenate(([100.0], close[:-1])) * (1 + source.normal(0, step / 4, count))).round(2)
    spread = np.abs(source.normal(0, step / 2, (2, count)))
    high = (np.maximum(opened, close) * (1 + spread[0])).round(2)
    low = (np.minimum(opened, close) * (1 - spread[1])).round(2)
    return Candles(times(count), opened, high, low, close, source.integers(0, 1000, count).astype(np.float64))


def markets(count: int, how_many: int, seed: int = 7) -> list[Candles]:
    """Return several markets that share half of what moves them, on the same bars."""
    shared = market(count, seed).close
    alone = [market(count, seed + 1 + number) for number in range(how_many)]
    return [Candles(one.at, *(np.sqrt(row * shared) for row in one[1:5]), one.volume) for one in alone]


def part(candles: Candles, span: slice) -> Candles:
    return Candles(*(column[span] for column in candles))
