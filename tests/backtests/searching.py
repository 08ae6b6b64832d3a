"""Candles and searches for tests: small enough to be quick, large enough to differ."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from django.db.models.functions import Now

from apps.backtests import locks, sources
from apps.backtests.models import Study, Trial
from apps.backtests.services import studies, sweeps
from apps.backtests.services.studies import Order
from apps.backtests.sources import Loaded
from apps.domain.backtests.conventions import Conventions
from apps.domain.strategies.contract import Candles

DAY = 86_400
START = 1_577_836_800  # 2020-01-01
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ME = f"worker test:{os.getpid()}"
WIDE = ("fast=2:20:1", "slow=10:60:2")


def candles(bars: int = 600, seed: int = 1, step: int = DAY) -> Candles:
    """A seeded random walk with a wave in it, so that some parameters are better than others."""
    source = np.random.default_rng(seed)
    wave = np.sin(np.arange(bars) / 25.0) * 0.004
    close = 100.0 * np.exp(np.cumsum(source.normal(0, 0.01, bars) + wave))
    opened = np.concatenate(([100.0], close[:-1]))
    high = np.maximum(opened, close) * (1 + source.uniform(0, 0.004, bars))
    low = np.minimum(opened, close) * (1 - source.uniform(0, 0.004, bars))
    at = START + step * np.arange(bars, dtype=np.int64)
    return Candles(at, opened, high, low, close, np.full(bars, 1000.0))


def as_csv(series: Candles) -> str:
    """Write candles as a file that the commands read."""
    rows = zip(*(column.tolist() for column in series), strict=True)
    return "time,Open,High,Low,Close,Volume\n" + "".join(",".join(map(repr, row)) + "\n" for row in rows)


def loaded(bars: int = 600, seed: int = 1, step: int = DAY) -> Loaded:
    return sources.given([candles(bars, seed, step)], names=["walk"])


def given(*series: Candles, detail: Candles | None = None) -> Loaded:
    return sources.given(series, names=[chr(ord("a") + place) for place in range(len(series))], detail=detail)


def day(number: int) -> datetime:
    return datetime.fromtimestamp(START + DAY * number, UTC)


def conventions(**chosen: Any) -> Conventions:
    return Conventions(**chosen)


def eventually(true: Callable[[], object], patience: float = 10.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, f"it did not happen within {patience} s"
        time.sleep(0.01)


def begun(data: Loaded | None = None, **wanted: Any) -> Study:
    """Begin a search of sma_cross."""
    order = Order(**{"plugin": "sma_cross", "space": ("fast=2:20:2", "slow=10:60:10"), **wanted})
    return studies.begin(order, data or loaded(), NOW)


def finished(study: Study) -> Study:
    """Compute a study to its end in this process."""
    while (found := Study.objects.get(pk=study.pk)).state == Study.State.RUNNING:
        sweeps.turn(study.pk, "test", seconds=5, now=NOW)
    return found


def results(study: Study) -> list[tuple[Any, ...]]:
    """Return what was tried and what it was worth, in order."""
    rows = Trial.objects.filter(study=study).order_by("number")
    return [(row.number, row.window, row.parameters, row.state, row.measures) for row in rows]


def claims(study: Study, limit: int = 10, worker: str = ME) -> list[locks.Claim]:
    return locks.claim(study.pk, worker, limit)


def silence(*numbers: int) -> None:
    """Let the workers of trials have been silent for longer than is waited."""
    rows = Trial.objects.filter(number__in=numbers) if numbers else Trial.objects.all()
    rows.filter(state="running").update(beat_at=Now() - timedelta(seconds=locks.STALE + 1))
