"""How did the account go? Equity beside its benchmark, drawdown, exposure, and the Sharpe ratio as it rolled along."""

import math

import numpy as np
from django.utils.safestring import SafeString

from apps.backtests.report import charts, scales, wording
from apps.backtests.report.charts import Chart
from apps.backtests.report.scales import Floats
from apps.backtests.report.subject import Subject
from apps.backtests.report.tags import joined
from apps.domain.backtests import statistics
from apps.domain.backtests.measures import curve, sampling

ROLLING_SHARE, ROLLING_MOST, ROLLING_LEAST = 6, 126, 20


def equity(subject: Subject) -> SafeString:
    """Draw the account and, as thin line, what the benchmark would have become."""
    own = subject.result.equity
    rival = _benchmark(subject)
    lows, highs = [float(own.min())], [float(own.max())]
    if rival is not None:
        lows, highs = [*lows, float(rival.min())], [*highs, float(rival.max())]
    span = scales.around(min(lows), max(highs))
    cash = subject.result.conventions.cash
    drawn = [charts.curve(own, span, "own", filled_to=span.low), charts.level(cash, span)]
    if rival is not None:
        drawn.insert(1, charts.curve(rival, span, "rival"))
    return charts.figure(
        Chart(
            name="equity",
            title="Equity",
            description=f"The account from {wording.money(cash)} to {wording.money(float(own[-1]))}, "
            f"lowest {wording.money(float(own.min()))}, highest {wording.money(float(own.max()))}.",
            drawing=joined(drawn),
            left=scales.value_ticks(span),
            below=scales.time_ticks(subject.result.at),
            key=[("own", "this run"), *([("rival", _rival_name(subject))] if rival is not None else [])],
        )
    )


def drawdown(subject: Subject) -> SafeString:
    """Draw how far the account was below its highest point."""
    depths = -100.0 * curve.depths(subject.result.equity)
    span = scales.around(float(depths.min()), 0.0, ticks=3)
    return charts.figure(
        Chart(
            name="drawdown",
            title="Drawdown",
            description=f"How far the account was below its peak; {wording.percent(-float(depths.min()))} at most.",
            drawing=charts.curve(depths, span, "fall", filled_to=0.0),
            left=scales.value_ticks(span, " %"),
            below=scales.time_ticks(subject.result.at),
            size="flat",
        )
    )


def exposure(subject: Subject) -> SafeString:
    """Draw how much of the account was at work."""
    if subject.result.exposure is None:
        return SafeString()
    shares = 100.0 * np.nan_to_num(subject.result.exposure)
    span = scales.around(0.0, max(float(shares.max()), 1.0), ticks=2)
    return charts.figure(
        Chart(
            name="exposure",
            title="Exposure",
            description=f"Positions over equity, {wording.percent(float(shares.mean()))} on average.",
            drawing=charts.curve(shares, span, "soft", filled_to=0.0),
            left=scales.value_ticks(span, " %"),
            below=scales.time_ticks(subject.result.at),
            size="strip",
        )
    )


def rolling_sharpe(subject: Subject) -> SafeString:
    """Draw the Sharpe ratio of a window that moves over the returns; nothing when they are too few."""
    result = subject.result
    seconds = float(subject.statistics.get("bar_seconds") or sampling.bar_seconds_of(result.at))
    sampled = sampling.of(result.at, result.equity, seconds)
    window = min(ROLLING_MOST, len(sampled.returns) // ROLLING_SHARE)
    if window < ROLLING_LEAST:
        return SafeString()
    rolled = _rolled(sampled.returns, window) * math.sqrt(sampled.a_year)
    shown = rolled[np.isfinite(rolled)]
    if not len(shown):
        return SafeString()
    span = scales.around(min(float(shown.min()), 0.0), max(float(shown.max()), 0.0), ticks=3)
    what = "days" if sampled.every == "day" else "bars"
    return charts.figure(
        Chart(
            name="rolling",
            title=f"Rolling Sharpe ratio, {window} {what}",
            description=f"Between {shown.min():.2f} and {shown.max():.2f}, {shown[-1]:.2f} at the end.",
            drawing=joined([charts.level(0.0, span), charts.curve(np.nan_to_num(rolled), span, "own")]),
            left=scales.value_ticks(span),
            below=scales.time_ticks(result.at[sampled.bars[window:]]),
            size="flat",
        )
    )


def _rolled(returns: Floats, window: int) -> Floats:
    """Return mean over deviation of every window, from running sums."""
    sums = np.concatenate(([0.0], np.cumsum(returns)))
    squares = np.concatenate(([0.0], np.cumsum(returns**2)))
    mean = (sums[window:] - sums[:-window]) / window
    variance = ((squares[window:] - squares[:-window]) - window * mean**2) / (window - 1)
    moved = variance > 1e-16
    spread = np.sqrt(np.where(moved, variance, 1.0))
    return np.asarray(np.where(moved, mean / spread, np.nan))


def _benchmark(subject: Subject) -> Floats | None:
    if subject.benchmark is not None:
        return np.asarray(subject.benchmark / subject.benchmark[0] * subject.result.conventions.cash)
    if not subject.candles:
        return None
    return np.asarray(statistics.buy_and_hold(subject.candles) * subject.result.conventions.cash)


def _rival_name(subject: Subject) -> str:
    return "benchmark" if subject.benchmark is not None else "buy and hold"
