"""Subjects of reports for tests: computed by the real engine on a seeded walk."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from apps.backtests.report import Subject
from apps.domain.backtests import critique, engine, statistics
from apps.domain.backtests.conventions import Conventions
from apps.domain.strategies.contract import Candles
from tests.backtests import spells

RULES = Conventions(sides="both", stop_loss=0.03, take_profit=0.04, exit_on_signal=False, fee_rate=0.001)


def stances(candles: Candles, bars: int = 7) -> np.ndarray:
    """Long above the close of some bars before, short below."""
    before = np.concatenate((candles.close[:bars], candles.close[:-bars]))
    return np.sign(candles.close - before).astype(np.int8)


def subject(candles: Candles | None = None, rules: Conventions = RULES, **given: Any) -> Subject:
    """Return what a report of a run on these candles is made of."""
    candles = spells.candles(900, wide=0.05) if candles is None else candles
    first, second = engine.both_bounds(candles, stances(candles), rules)
    told = statistics.of(first, candles)
    context = critique.Context(parameter_count=1, candles=(candles,), bounds=(first, second), missing_bars=2)
    made = Subject(
        plugin="before",
        parameters={"bars": 7},
        code_hash="c0de" * 16,
        data_hash="da7a" * 16,
        names=("WALK",),
        candles=(candles,),
        result=first,
        statistics=told,
        critique=[remark.as_json() for remark in critique.of(first, told, context)],
        bounds=critique.bounds_json(first, second),
        missing_bars=2,
        version="1.2.3",
        made_at=datetime(2025, 1, 2, 3, 4, tzinfo=UTC),
    )
    return replace(made, **given)
