"""What a critique is made of: a remark, how much it weighs, and what a result does not know about itself."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from apps.domain.backtests.result import Result
from apps.domain.strategies.contract import Candles


class Severity(StrEnum):
    """How much a remark weighs."""

    RED = "red"  # a promotion needs an override
    AMBER = "amber"  # a person should weigh it
    NOTE = "note"  # worth knowing


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One thing that speaks against a result: a sentence with the number, the limit it passed, and what to do."""

    code: str
    severity: Severity
    sentence: str
    number: float | None
    limit: float | None
    remedy: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"severity": self.severity.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a result does not know about itself. Spans are seconds since the epoch, [since, until).

    `searched_spans` are the data on which parameters were chosen among `trials_searched` sets; `tested_span` is that of
    the result where it is left out. `out_of_sample` says that no choice was made on the tested span. `bounds` are the
    results with the stop first and with the target first.
    """

    parameter_count: int = 0
    trials_searched: int = 0
    searched_spans: Sequence[tuple[int, int]] = ()
    tested_span: tuple[int, int] | None = None
    out_of_sample: bool = False
    missing_bars: int = 0
    candles: Sequence[Candles] = ()
    bounds: tuple[Result, Result] | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """Everything a doubt may look at."""

    result: Result
    statistics: Mapping[str, Any]
    context: Context

    def figure(self, key: str) -> float:
        """Return a statistic as a number, 0 where it does not exist."""
        value = self.statistics.get(key)
        return float(value) if isinstance(value, int | float) else 0.0

    @property
    def span(self) -> tuple[int, int]:
        """The tested span, [since, until)."""
        if self.context.tested_span is not None:
            return self.context.tested_span
        return int(self.result.at[0]), int(self.result.at[-1]) + 1


def graded(
    code: str, number: float, limits: tuple[float | None, float | None], sentence: str, remedy: str
) -> Remark | None:
    """Return a remark when the number is above its amber or red limit (None: that grade is never given)."""
    amber, red = limits
    if red is not None and number > red:
        return Remark(
            code=code, severity=Severity.RED, sentence=sentence, number=float(number), limit=red, remedy=remedy
        )
    if amber is not None and number > amber:
        return Remark(
            code=code, severity=Severity.AMBER, sentence=sentence, number=float(number), limit=amber, remedy=remedy
        )
    return None


def note(code: str, number: float | None, sentence: str, remedy: str) -> Remark:
    number = None if number is None else float(number)
    return Remark(code=code, severity=Severity.NOTE, sentence=sentence, number=number, limit=None, remedy=remedy)
