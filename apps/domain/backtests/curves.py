"""What is read off finished arrays: the deepest fall of a curve, how far each trade went against and for it."""

import numpy as np
import numpy.typing as npt

from apps.domain import compiled
from apps.domain.backtests.state import Column

Floats = npt.NDArray[np.float64]

INSTRUMENT, SIDE, EXIT_BAR, ENTRY_PRICE, EXIT_PRICE = map(
    int, (Column.INSTRUMENT, Column.SIDE, Column.EXIT_BAR, Column.ENTRY_PRICE, Column.EXIT_PRICE)
)


@compiled.loop
def max_drawdown(equity: Floats) -> float:
    """Return the largest fall below the running maximum, as a rate of that maximum."""
    peak, ratio = -np.inf, 1.0
    for value in equity:
        # Within one peak the lowest value is the deepest fall: no division per bar.
        if value > peak:
            peak = value
        elif value < peak * ratio:
            ratio = min(ratio, value / peak)
    return 1.0 - ratio


@compiled.loop
def excursions(high: Floats, low: Floats, rows: Floats, since: Floats) -> tuple[Floats, Floats]:
    """Return the worst and the best rate of the entry price of each trade, from bar `since` until its exit.

    `high` and `low` have one row per instrument, `rows` one per state.Column. The exit bar counts with the exit price.
    """
    worst, best = np.empty(rows.shape[1]), np.empty(rows.shape[1])
    for n in range(rows.shape[1]):
        k, side, entry, left = int(rows[INSTRUMENT, n]), rows[SIDE, n], rows[ENTRY_PRICE, n], rows[EXIT_PRICE, n]
        top, bottom = max(entry, left), min(entry, left)
        for t in range(int(since[n]), int(rows[EXIT_BAR, n])):
            top, bottom = max(top, high[k, t]), min(bottom, low[k, t])
        up, down = (top - entry) / entry, (bottom - entry) / entry
        best[n], worst[n] = (up, down) if side > 0 else (-down, -up)
    return worst, best


@compiled.loop
def deviations(close: Floats, span: int) -> Floats:
    """Return the standard deviation (ddof 1) of the last `span` simple returns up to each bar, NaN before."""
    found = np.full(close.shape, np.nan)
    for k in range(close.shape[0]):
        returns = close[k, 1:] / close[k, :-1] - 1.0
        for t in range(span, close.shape[1]):
            window = returns[t - span : t]
            mean = window.mean()
            found[k, t] = np.sqrt(((window - mean) ** 2).sum() / (span - 1))
    return found


@compiled.loop
def changes(stances: npt.NDArray[np.int8]) -> int:
    """Return how many stances differ from the one before."""
    count = 0
    for t in range(1, stances.shape[0]):
        count += stances[t] != stances[t - 1]
    return count
