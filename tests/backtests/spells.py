"""Candles for tests: a seeded random walk, as arrays and as the file a person would have."""

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from apps.domain.strategies.contract import Candles

DAY = 86_400
FIRST = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())
HEADER = ("Date", "Open", "High", "Low", "Close", "Volume")


def candles(bars: int = 400, *, seed: int = 1, step: int = DAY, wide: float = 0.02) -> Candles:
    """Return a random walk around 100, its bars up to `wide` higher and lower than its closes."""
    chance = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(chance.normal(0, 0.01, bars))), 2)
    opened = np.round(np.concatenate([[100.0], close[:-1]]) * (1 + chance.normal(0, 0.002, bars)), 2)
    high = np.round(np.maximum(opened, close) * (1 + chance.uniform(0, wide, bars)), 2)
    low = np.round(np.minimum(opened, close) * (1 - chance.uniform(0, wide, bars)), 2)
    return Candles(FIRST + step * np.arange(bars), opened, high, low, close, np.round(chance.uniform(1, 9, bars), 3))


def rows(found: Candles) -> list[list[str]]:
    """Return candles as cells, days as dates."""
    days = [str(day) for day in found.at.astype("datetime64[s]").astype("datetime64[D]")]
    return [[day, *(repr(float(part)) for part in row)] for day, *row in zip(days, *found[1:], strict=True)]


def write(path: Path, lines: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> Path:
    """Write a CSV file."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    return path


def file(folder: Path, bars: int = 400, *, seed: int = 1, name: str = "walk.csv") -> Path:
    """Write a random walk of days."""
    return write(folder / name, rows(candles(bars, seed=seed)))
