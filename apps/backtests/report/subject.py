"""What is a report about? Plain values, so that it can be made from a fresh outcome and from a stored run alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import numpy as np

from apps import VERSION
from apps.backtests.outcomes import Outcome
from apps.domain.backtests.result import Result
from apps.domain.strategies.contract import Candles, Floats

DAY = 86_400
LOOKED_AT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One backtest to report on. `candles` may be empty: then the charts that need prices are left out.

    `critique` holds remarks as JSON holds them, `bounds` is that of `critique.bounds_json`, None where it was not
    computed. `made_at` is when the report was asked for.
    """

    plugin: str
    result: Result
    statistics: Mapping[str, Any]
    title: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    code_hash: str = ""
    data_hash: str = ""
    names: Sequence[str] = ()
    candles: Sequence[Candles] = ()
    critique: Sequence[Mapping[str, Any]] = ()
    bounds: Mapping[str, Any] | None = None
    benchmark: Floats | None = None
    notes: Sequence[str] = ()
    missing_bars: int = 0
    version: str = VERSION
    made_at: datetime | None = None

    @classmethod
    def of(cls, outcome: Outcome, *, title: str = "", made_at: datetime | None = None) -> Self:
        """Return the subject of a fresh outcome."""
        return cls(
            plugin=outcome.plugin,
            title=title,
            parameters=outcome.parameters,
            code_hash=outcome.code_hash,
            data_hash=outcome.loaded.data_hash,
            names=outcome.loaded.names,
            candles=outcome.loaded.candles,
            result=outcome.result,
            statistics=outcome.statistics,
            critique=[remark.as_json() for remark in outcome.critique],
            bounds=outcome.bounds.as_json(),
            notes=outcome.loaded.notes,
            missing_bars=outcome.loaded.missing_bars,
            made_at=made_at,
        )

    @property
    def heading(self) -> str:
        """What the report is called."""
        return self.title or f"{self.plugin} on {', '.join(self.names) or 'candles'}"

    @property
    def intraday(self) -> bool:
        """Whether times of day tell anything; the first bars show it."""
        return bool(np.any(self.result.at[:LOOKED_AT] % DAY))

    def name_of(self, instrument: int) -> str:
        return self.names[instrument] if instrument < len(self.names) else str(instrument)
