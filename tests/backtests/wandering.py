"""Candle files of seeded random walks."""

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def write_walk(path: Path, *, bars: int = 500, seed: int = 1, closes: Any = None, seconds: int = 3600) -> str:
    """Write hourly candles of a walk, or around given closes; return the file's name."""
    chance = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(chance.normal(0, 0.01, bars))) if closes is None else np.asarray(closes, float)
    opened = np.concatenate((close[:1], close[:-1]))
    wide = chance.random((2, len(close))) * 0.004
    high, low = np.maximum(opened, close) * (1 + wide[0]), np.minimum(opened, close) * (1 - wide[1])
    volume = chance.lognormal(3, 1, len(close)).round(3)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Time", "Open", "High", "Low", "Close", "Volume"])
        for number, row in enumerate(zip(opened, high, low, close, volume, strict=True)):
            at = datetime.fromtimestamp(START + seconds * number, UTC)
            writer.writerow([at.isoformat(), *map(float, row)])
    return str(path)
