"""What did each month and each year bring? A table of months shaded by gain and loss, and the years beside them."""

import numpy as np
from django.utils.safestring import SafeString

from apps.backtests.report import charts, scales, tables, wording
from apps.backtests.report.charts import Chart
from apps.backtests.report.subject import Subject
from apps.backtests.report.tables import Cell
from apps.backtests.report.tags import joined
from apps.domain.backtests import statistics
from apps.domain.backtests.measures import months
from apps.domain.backtests.measures.months import Periods

NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# The strongest shade, so that the figure on it stays easy to read in both colour schemes.
STRONGEST = 0.55


def table(subject: Subject) -> SafeString:
    """Return the months of each year with its total, shaded by size; the sign stands in every cell."""
    at, equity = subject.result.at, subject.result.equity
    by_month, by_year = _named(months.by_month(at, equity)), _named(months.by_year(at, equity))
    if not by_month:
        return SafeString()
    largest = float(np.quantile(np.abs(list(by_month.values())), 0.95)) or 1.0
    rows = []
    for year in range(int(min(by_month)[:4]), int(max(by_month)[:4]) + 1):
        cells = [_cell(by_month.get(f"{year}-{month:02}"), largest) for month in range(1, 13)]
        total = by_year.get(str(year))
        rows.append([str(year), *cells, _total(total)])
    return tables.table("Return of each month in percent (UTC)", ("Year", *NAMES, "Year's total"), rows, kind="months")


def years(subject: Subject) -> SafeString:
    """Draw the return of each year; nothing for less than two."""
    own = months.by_year(subject.result.at, subject.result.equity)
    if len(own.returns) < 2:
        return SafeString()
    values = (100.0 * own.returns).tolist()
    span = scales.around(min(0.0, *values), max(0.0, *values), ticks=3)
    kinds = ["gain" if value >= 0 else "loss" for value in values]
    names = [str(each) for each in own.began]
    ticks = [scales.Tick((n + 0.5) / len(names), name) for n, name in enumerate(names)]
    return charts.figure(
        Chart(
            name="years",
            title="Return of each year",
            description="; ".join(f"{name} {value:+.1f} %" for name, value in zip(names, values, strict=True)) + ".",
            drawing=joined([charts.bars(values, span, kinds), charts.level(0.0, span)]),
            left=scales.value_ticks(span, " %"),
            below=[ticks[n] for n in scales.thinned(len(ticks), 10)],
            size="flat",
        )
    )


def yearly(subject: Subject) -> SafeString:
    """Return the years as a table, beside the benchmark where there are candles."""
    at = subject.result.at
    own = months.by_year(at, subject.result.equity)
    if not subject.candles or not len(own.returns):
        return SafeString()
    held = subject.benchmark if subject.benchmark is not None else statistics.buy_and_hold(subject.candles)
    theirs = months.by_year(at, held)
    pairs = zip(own.began, own.returns.tolist(), theirs.returns.tolist(), strict=True)
    rows = [[str(year), _gained(ours), _gained(rival), _gained(ours - rival)] for year, ours, rival in pairs]
    return tables.table("Each year beside the benchmark", ("Year", "This run", "Benchmark", "Difference"), rows)


def _named(found: Periods) -> dict[str, float]:
    return {str(when): float(value) for when, value in zip(found.began, found.returns, strict=True)}


def _cell(value: float | None, largest: float) -> Cell:
    if value is None:
        return Cell("", "number none")
    share = min(abs(value) / largest, 1.0) * STRONGEST
    kind = "number heat " + ("gain" if value > 0 else "loss" if value < 0 else "even")
    return Cell(wording.percent(100 * value, signed=True, places=1).removesuffix(" %"), kind, f"--share:{share:.0%}")


def _gained(value: float) -> Cell:
    return tables.signed(100 * value, wording.percent(100 * value, signed=True))


def _total(value: float | None) -> Cell:
    if value is None:
        return Cell(wording.NOTHING)
    return Cell(
        wording.percent(100 * value, signed=True, places=1).removesuffix(" %"),
        f"number total {wording.tone(value) or ''}".strip(),
    )
