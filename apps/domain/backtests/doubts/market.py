"""Would the market have given these fills? Stale bars, holes in the data, order inside a bar, size against volume."""

from typing import Any

import numpy as np
import numpy.typing as npt

from apps.domain.backtests.conventions import Fill
from apps.domain.backtests.measures.plain import ratio
from apps.domain.backtests.remarks import Case, Remark, Severity, graded, note
from apps.domain.strategies.contract import Candles

STALE_AMBER, STALE_RED = 0.01, 0.10
GAPS_AMBER, GAPS_RED = 0.01, 0.10
INTRABAR_AMBER = 0.10
CAPACITY_AMBER, CAPACITY_RED = 0.01, 0.10
CAPACITY_QUANTILE = 0.95


def stale_fills(case: Case) -> Remark | None:
    """Fills on bars on which nothing was traded."""
    hits, fills = 0, 0
    for number, candles in enumerate(case.context.candles):
        bars = _fill_bars(case, number)
        fills += len(bars)
        hits += int(np.count_nonzero(_stale(candles)[bars]))
    share = ratio(hits, fills) if fills else 0.0
    return graded(
        "stale-fills",
        share,
        (STALE_AMBER, STALE_RED),
        f"{hits:,} of {fills:,} fills ({share:.1%}) are on bars without volume or movement, above {STALE_AMBER:.0%}: "
        "nobody may have been there to trade with.",
        "Use data with real volume, or leave such bars out.",
    )


def gaps(case: Case) -> Remark | None:
    """Bars that should be there and are not."""
    missing = case.context.missing_bars
    if not missing:
        return None
    share = missing / (missing + len(case.result.at) * max(len(case.context.candles), 1))
    sentence = f"{missing:,} bars are missing, {share:.2%} of those expected"
    remedy = "Backfill the hole; what happens inside it, a stop above all, is not in the result."
    found = graded("gaps", share, (GAPS_AMBER, GAPS_RED), f"{sentence}, above {GAPS_AMBER:.0%}.", remedy)
    return found or note("gaps", share, f"{sentence}.", remedy)


def intrabar(case: Case) -> Remark | None:
    """A result that hangs on which level came first inside a bar."""
    if case.context.bounds is None:
        return None
    one, other = (each.final_equity for each in case.context.bounds)
    cash = case.result.conventions.cash
    low, high = min(one, other) - cash, max(one, other) - cash
    bars = max(each.ambiguous_bars for each in case.context.bounds)
    if high == low:
        return None
    apart = (high - low) / max(abs(high), abs(low))
    sentence = (
        f"Stop first ends at {one:,.2f}, target first at {other:,.2f}: the order of touches inside {bars:,} bars "
        f"moves the profit by {apart:.0%}"
    )
    remedy = "Give a finer detail timeframe, so that the bars tell the order; believe the lower of the two until then."
    limits = (INTRABAR_AMBER, INTRABAR_AMBER if low <= 0 < high else None)
    ended = " and its sign." if low <= 0 < high else "."
    return graded("intrabar", apart, limits, sentence + ended, remedy) or note(
        "intrabar", apart, sentence + ".", remedy
    )


def same_close(case: Case) -> Remark | None:
    """A decision and its fill on the same close."""
    if case.result.conventions.fill is not Fill.CLOSE:
        return None
    return Remark(
        code="same-close",
        severity=Severity.AMBER,
        sentence="Orders fill at the very close they are decided on, a price that is known only when it is gone.",
        number=None,
        limit=None,
        remedy="Compare with fill: next-open.",
    )


def capacity(case: Case) -> Remark | None:
    """Orders that are large beside what was traded."""
    shares = [_shares(case, number, candles) for number, candles in enumerate(case.context.candles)]
    found = np.concatenate(shares) if shares else np.zeros(0)
    if not len(found):
        return None
    share = float(np.quantile(found, CAPACITY_QUANTILE))
    return graded(
        "capacity",
        share,
        (CAPACITY_AMBER, CAPACITY_RED),
        f"One fill in twenty takes {share:.1%} or more of its bar's volume, above {CAPACITY_AMBER:.0%}: "
        "it would move the price.",
        "Trade smaller, split orders, or use the volume-share slippage.",
    )


def beaten_by_holding(case: Case) -> Remark | None:
    """Buying and waiting did better."""
    ahead = case.figure("benchmark_return_pct") - case.figure("return_pct")
    if ahead <= 0:
        return None
    ours, theirs = case.figure("sharpe"), case.figure("benchmark_sharpe")
    sentence = (
        f"The benchmark returned {case.figure('benchmark_return_pct'):,.1f} % against "
        f"{case.figure('return_pct'):,.1f} %, with a Sharpe ratio of {theirs:.2f} against {ours:.2f}"
    )
    if ours > theirs:
        return note("benchmark", ahead, f"{sentence}: less was earned, at less risk.", "Compare at equal risk.")
    return graded("benchmark", ahead, (0.0, None), f"{sentence}.", "Say what the rule adds to simply holding.")


def _fill_bars(case: Case, number: int) -> npt.NDArray[np.int64]:
    chosen = case.result.trades.instrument == number
    return np.concatenate((case.result.trades.entry_bar[chosen], case.result.trades.exit_bar[chosen]))


def _stale(candles: Candles) -> npt.NDArray[Any]:
    """Say of each bar whether nothing moved in it; without volume too where the data have volume at all."""
    still = (candles.high == candles.low) & (candles.close == np.concatenate((candles.open[:1], candles.close[:-1])))
    known = bool(np.any(candles.volume > 0))
    return np.asarray(still | (candles.volume <= 0) if known else still)


def _shares(case: Case, number: int, candles: Candles) -> npt.NDArray[Any]:
    trades = case.result.trades
    chosen = trades.instrument == number
    sizes = np.abs(trades.size[chosen])
    found = []
    for bars in (trades.entry_bar[chosen], trades.exit_bar[chosen]):
        volume = candles.volume[bars]
        found.append((sizes / np.where(volume > 0, volume, np.nan))[volume > 0])
    return np.concatenate(found)
