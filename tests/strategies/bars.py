"""Bars for tests: flat ones around given closes, and rows of ticks that make them."""

from datetime import UTC, datetime

import numpy as np

from apps.domain.strategies.contract import Candles

BASE = int(datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp())


def of_closes(*closes: float, seconds: int = 60) -> Candles:
    values = np.array(closes, np.float64)
    at = BASE + seconds * np.arange(len(values), dtype=np.int64)
    return Candles(at, values, values, values, values, np.ones_like(values))


def walk(count: int, seed: int = 7) -> Candles:
    steps = np.random.default_rng(seed).normal(0, 0.002, count)
    return of_closes(*(100 * np.exp(np.cumsum(steps))).round(2))


def part(candles: Candles, span: slice) -> Candles:
    return Candles(*(column[span] for column in candles))
