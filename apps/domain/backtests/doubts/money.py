"""Where does the profit come from, and what eats it? Costs, single trades, one year, open positions, flat stretches."""

import numpy as np

from apps.domain.backtests.conventions import Slippage
from apps.domain.backtests.measures import months
from apps.domain.backtests.remarks import Case, Remark, graded, note

COSTS_AMBER, COSTS_RED = 0.5, 1.0
SINGLE_AMBER, SINGLE_RED = 0.3, 1.0
YEAR_AMBER, FEWEST_YEARS = 0.8, 3
OPEN_AMBER = 0.5
FLAT_AMBER, UNDER_WATER_AMBER = 1 / 3, 0.5
DRAWDOWN_AMBER, DRAWDOWN_RED = 0.5, 0.9
REJECTED_AMBER = 0.1
FEWEST_TRADES = 5


def costs(case: Case) -> Remark | None:
    """Fees, slippage and carry eat what the trades earn."""
    eaten = case.figure("costs_of_gross_profit_pct") / 100.0
    turned = case.figure("pnl_before_costs") > 0 >= float(case.result.trades.pnl.sum())
    return graded(
        "fee-dominated",
        max(eaten, COSTS_RED + 1e-9) if turned else eaten,
        (COSTS_AMBER, COSTS_RED),
        f"Fees, slippage and carry take {eaten:.0%} of the gross profit"
        + (" and turn a profit into a loss." if turned else f", above {COSTS_AMBER:.0%}."),
        "Trade less often, aim further, or find lower fees; small errors in the assumed costs decide the result.",
    )


def free_of_charge(case: Case) -> Remark | None:
    """A run without costs flatters every rule that trades."""
    rules = case.result.conventions
    charged = rules.fee_rate or rules.fee_fixed or (rules.slippage is not Slippage.NONE and rules.slippage_value)
    if charged or not case.result.closed_trades:
        return None
    return graded(
        "no-costs",
        1.0,
        (0.0, None),
        "Neither fees nor slippage were charged: live trading pays both.",
        "Set the fee of your broker and leave slippage at its default.",
    )


def single_trade(case: Case) -> Remark | None:
    """One trade carries the result."""
    pnl = case.result.trades.pnl
    total = float(pnl.sum())
    if len(pnl) < FEWEST_TRADES or total <= 0:
        return None
    share = float(pnl.max()) / total
    return graded(
        "single-trade",
        share,
        (SINGLE_AMBER, SINGLE_RED),
        f"The best trade made {share:.0%} of the net profit, above {SINGLE_AMBER:.0%}"
        + ("; without it the rest lost money." if share > 1 else "."),
        "Ask whether that trade could have been missed; look at the result without it.",
    )


def single_year(case: Case) -> Remark | None:
    """One year carries the result."""
    years = months.by_year(case.result.at, case.result.equity)
    gains = np.log1p(np.maximum(years.returns, -0.999999))
    total = float(gains.sum())
    if len(gains) < FEWEST_YEARS or total <= 0:
        return None
    best = int(np.argmax(gains))
    share = float(gains[best]) / total
    return graded(
        "single-year",
        share,
        (YEAR_AMBER, None),
        f"{years.began[best]} alone made {share:.0%} of the compounded growth, above {YEAR_AMBER:.0%}.",
        "Ask what was special about that year, and whether it will come back.",
    )


def unrealised(case: Case) -> Remark | None:
    """What is still open carries the result."""
    profit = case.result.final_equity - case.result.conventions.cash
    if not case.result.open or profit <= 0:
        return None
    share = 1.0 - float(case.result.trades.pnl.sum()) / profit
    return graded(
        "unrealised",
        share,
        (OPEN_AMBER, None),
        f"{share:.0%} of the profit is in positions still open on the last bar, above {OPEN_AMBER:.0%}.",
        "Let the data run on until they are closed, or close them at the end (end: close).",
    )


def flat_curve(case: Case) -> Remark | None:
    """A long stretch in which nothing was traded."""
    trades, bars = case.result.trades, len(case.result.at)
    if not trades.closed or bars < 2:
        return None
    held = sorted([*zip(trades.entry_bar.tolist(), trades.exit_bar.tolist(), strict=True), *_open_spans(case)])
    reached, longest = 0, 0
    for entered, left in held:
        longest, reached = max(longest, entered - reached), max(reached, left)
    share = max(longest, bars - 1 - reached) / (bars - 1)
    return graded(
        "flat-curve",
        share,
        (FLAT_AMBER, None),
        f"The longest stretch without a position is {share:.0%} of the test, above {FLAT_AMBER:.0%}: "
        "the figures stem from the rest.",
        "Check that the data are whole, and judge the traded part by itself.",
    )


def under_water(case: Case) -> Remark | None:
    """A long wait for a new high."""
    days, longest = case.figure("duration_days"), case.figure("longest_drawdown_days")
    share = longest / days if days else 0.0
    return graded(
        "under-water",
        share,
        (UNDER_WATER_AMBER, None),
        f"For {longest:,.0f} days, {share:.0%} of the test, the account made no new high; "
        f"above {UNDER_WATER_AMBER:.0%} few people hold on.",
        "Ask whether you would have kept trading it; reduce the size or combine it with another rule.",
    )


def deep_fall(case: Case) -> Remark | None:
    """A loss on the way that few accounts survive."""
    deepest = case.figure("max_drawdown_pct") / 100.0
    return graded(
        "deep-drawdown",
        deepest,
        (DRAWDOWN_AMBER, DRAWDOWN_RED),
        f"The account fell {deepest:.1%} from a high, above {DRAWDOWN_AMBER:.0%}.",
        "Risk less per trade, or add a limit on drawdown.",
    )


def rejected(case: Case) -> Remark | None:
    """Entries that were wanted and not made."""
    count = sum(case.result.rejected.values())
    if not count:
        return None
    share = count / (count + case.result.closed_trades + len(case.result.open))
    words = ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in sorted(case.result.rejected.items()))
    sentence = f"{_entries(count)} wanted and not made ({words}), {share:.0%} of all."
    remedy = "Look at the reasons: the result is that of the entries that were made."
    return graded("rejected", share, (REJECTED_AMBER, None), sentence, remedy) or note(
        "rejected", share, sentence, remedy
    )


def _open_spans(case: Case) -> list[tuple[int, int]]:
    return [(each.entry_bar, len(case.result.at) - 1) for each in case.result.open]


def _entries(count: int) -> str:
    return "1 entry was" if count == 1 else f"{count:,} entries were"
