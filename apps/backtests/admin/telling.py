"""What the pages of runs tell: figures in their units, remarks, conventions, and several runs side by side."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from apps.backtests import selectors
from apps.backtests.admin import drawing
from apps.backtests.admin.drawing import Curve
from apps.backtests.models import Run
from apps.backtests.report import wording
from apps.domain.backtests import catalogue
from apps.domain.backtests.catalogue import Entry
from apps.domain.backtests.conventions import Conventions

ENTRIES: Final[Mapping[str, Entry]] = catalogue.ENTRIES
HEADLINE: Final = ("return_pct", "max_drawdown_pct", "sharpe", "closed_trades", "win_rate_pct", "profit_factor")
COMPARED: Final = (
    *("final_equity", "return_pct", "cagr_pct", "buy_and_hold_return_pct", "annual_volatility_pct"),
    *("max_drawdown_pct", "longest_drawdown_days", "sharpe", "sortino", "calmar", "exposure_pct"),
    *("closed_trades", "win_rate_pct", "profit_factor", "expectancy", "fees_total", "turnover"),
)
TONES: Final = {"red": "bad", "amber": "warn", "note": "idle"}


class Line(NamedTuple):
    """One row of a table: what it is about, a value for each run, and whether they differ."""

    name: str
    values: list[str]
    differs: bool = False


def figures(run: Run) -> list[tuple[str, str]]:
    """Return the headline of a finished run as pairs of name and figure."""
    return [(ENTRIES[key].label, told(run, key)) for key in HEADLINE if key in ENTRIES]


def told(run: Run, key: str) -> str:
    """Write one statistic of a run in its unit; a dash where it has none."""
    entry = ENTRIES[key]
    return wording.figure(run.statistics.get(key), entry.unit)


def remarks(run: Run) -> list[dict[str, Any]]:
    """Return the critique with the tone of each remark."""
    return [{**remark, "tone": TONES.get(remark["severity"], "plain")} for remark in run.critique]


def reds(run: Run) -> int:
    """Count the remarks that stop a promotion."""
    return sum(remark["severity"] == "red" for remark in run.critique)


def conventions(run: Run) -> list[tuple[str, str]]:
    """Return the conventions that are not the usual ones."""
    usual = Conventions().as_json()
    return [(_words(name), _value(value)) for name, value in run.conventions.items() if usual.get(name) != value]


def picture(run: Run) -> str:
    """Draw the equity of a finished run."""
    at, equity = selectors.equity(run)
    return drawing.chart([Curve(str(run), _across(at), equity)], f"Equity of run {run.pk}")


def side_by_side(runs: Sequence[Run]) -> dict[str, Any]:
    """Return what a comparison shows: what differs in the set-up, every figure, and the curves over each other."""
    curves = []
    for run in runs:
        at, equity = selectors.equity(run)
        # Shares of the first value, and of the span: runs of other cash and other days lie over each other.
        curves.append(Curve(f"run {run.pk}", _across(at), equity / (equity[0] or 1.0) * 100))
    return {
        "runs": runs,
        "setup": [line for line in _setup(runs) if line.differs],
        "figures": [Line(ENTRIES[key].label, [told(run, key) for run in runs]) for key in COMPARED if key in ENTRIES],
        "reds": [reds(run) for run in runs],
        "picture": drawing.chart(curves, "Equity of the runs, 100 at the first bar"),
    }


def _setup(runs: Sequence[Run]) -> list[Line]:
    about: list[dict[str, Any]] = [
        {
            "strategy": str(run.strategy or run.plugin),
            "plug-in": run.plugin,
            "candles": run.source,
            "bar": wording.span(run.bar_seconds or 0),
            "since": f"{run.since:%Y-%m-%d}" if run.since else "",
            "until": f"{run.until:%Y-%m-%d}" if run.until else "",
            "code": run.code_hash[:12],
            **{f"parameter {name}": value for name, value in run.parameters.items()},
            **run.conventions,
        }
        for run in runs
    ]
    names = list(dict.fromkeys(name for one in about for name in one))
    lines = []
    for name in names:
        values = [_value(one.get(name)) for one in about]
        lines.append(Line(_words(name), values, differs=len(set(values)) > 1))
    return lines


def _across(at: "np.ndarray[Any, Any]") -> drawing.Floats:
    span = float(at[-1] - at[0]) if len(at) > 1 else 1.0
    places: drawing.Floats = (at - at[0]) / (span or 1.0)
    return places


def _words(name: str) -> str:
    return name.replace("_", " ")


def _value(value: Any) -> str:
    if value is None or value == "":
        return wording.NOTHING
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(key)} {inner}" for key, inner in value.items() if inner is not None) or "none"
    return str(value)
