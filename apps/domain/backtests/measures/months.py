"""What days, months and years brought: the best, the worst, how many won, and the trailing windows people compare."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from apps.domain.backtests.measures import plain, sampling
from apps.domain.backtests.measures.plain import NAN, percent, ratio
from apps.domain.backtests.measures.sampling import DAY, YEAR, Ints
from apps.domain.strategies.contract import Floats

# A trailing window: the months it reaches back, and whether its return is given per year.
WINDOWS = (
    ("3m", 3, False),
    ("6m", 6, False),
    ("1y", 12, False),
    ("3y", 36, True),
    ("5y", 60, True),
    ("10y", 120, True),
)
MONTHS_A_QUARTER = 3


class Periods(NamedTuple):
    """Returns by calendar period (UTC): when each began, as a day of that unit, and its simple return."""

    began: npt.NDArray[np.datetime64]
    returns: Floats


def by_day(at: Ints, equity: Floats) -> Periods:
    return _periods(at, equity, sampling.last_of_days(at), "datetime64[D]")


def by_month(at: Ints, equity: Floats) -> Periods:
    return _periods(at, equity, sampling.last_of_months(at), "datetime64[M]")


def by_quarter(at: Ints, equity: Floats) -> Periods:
    last = sampling.last_of_months(at)
    months = at[last].astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    quarters = months // MONTHS_A_QUARTER
    closing = np.append(np.diff(quarters) != 0, True) if len(last) else np.zeros(0, dtype=bool)
    return _periods(at, equity, last[closing], "datetime64[M]")


def by_year(at: Ints, equity: Floats) -> Periods:
    return _periods(at, equity, sampling.last_of_years(at), "datetime64[Y]")


def of(at: Ints, equity: Floats) -> dict[str, Any]:
    """Measure the calendar of one curve; the first period counts from the first bar."""
    days, months = by_day(at, equity).returns, by_month(at, equity).returns
    quarters, years = by_quarter(at, equity).returns, by_year(at, equity).returns
    return {
        **_extremes("day", days),
        **_extremes("month", months),
        **_extremes("year", years),
        "win_days_pct": _won(days),
        "win_months_pct": _won(months),
        "win_quarters_pct": _won(quarters),
        "win_years_pct": _won(years),
        "average_up_month_pct": percent(plain.mean(months[months > 0])),
        "average_down_month_pct": percent(plain.mean(months[months < 0])),
        "expected_month_pct": _expected(months),
        "expected_year_pct": _expected(years),
        "gain_to_pain_months": ratio(float(months.sum()), -float(months[months < 0].sum())),
        "consistency": _consistency(at, equity),
        **_trailing(at, equity),
    }


def _periods(at: Ints, equity: Floats, last: Ints, unit: str) -> Periods:
    began = at[last].astype("datetime64[s]").astype(unit)
    # A first period of one bar has a return only against itself; it is left out.
    alone = len(last) > 0 and last[0] == 0
    bars = last if alone else np.concatenate((np.zeros(1, dtype=np.int64), last))
    return Periods(began[1:] if alone else began, sampling.returns_at(equity, bars))


def _extremes(name: str, returns: Floats) -> dict[str, Any]:
    return {
        f"best_{name}_pct": percent(plain.extreme(returns, True)),
        f"worst_{name}_pct": percent(plain.extreme(returns, False)),
    }


def _won(returns: Floats) -> float:
    """Return the share of the periods that moved which won; a period without a position is no failure."""
    return percent(ratio(float(np.sum(returns > 0)), float(np.sum(returns != 0))))


def _expected(returns: Floats) -> float:
    if not len(returns) or float(np.min(returns)) <= -1.0:
        return NAN
    return percent(float(np.expm1(np.log1p(returns).mean())))


def _consistency(at: Ints, equity: Floats) -> float:
    """Return how straight the logarithm of the equity runs in time, by day: R squared, 1 is a line."""
    bars = sampling.last_of_days(at)
    values, when = equity[bars], at[bars].astype(np.float64)
    if len(bars) < 3 or float(values.min()) <= 0:
        return NAN
    logs = np.log(values)
    x, y = when - when.mean(), logs - logs.mean()
    return ratio(float(np.dot(x, y)) ** 2, float(np.dot(x, x) * np.dot(y, y)))


def _trailing(at: Ints, equity: Floats) -> dict[str, Any]:
    """Return what the last months and years brought; None where the curve is shorter than the window."""
    final = at[-1:].astype("datetime64[s]")
    month, year = final.astype("datetime64[M]"), final.astype("datetime64[Y]")
    found: dict[str, Any] = {
        "return_mtd_pct": percent(_since(at, equity, _seconds(month))),
        "return_ytd_pct": percent(_since(at, equity, _seconds(year))),
    }
    into = int(at[-1]) - _seconds(month)
    for name, back, yearly in WINDOWS:
        since = min(_seconds(month - back) + into, _seconds(month - back + 1) - DAY)
        gained = _since(at, equity, since) if int(at[0]) <= since else NAN
        if yearly and gained == gained:
            gained = plain.power(1.0 + gained, YEAR / (int(at[-1]) - since)) - 1.0
        found[f"return_{name}_pct"] = percent(gained)
    return found


def _since(at: Ints, equity: Floats, since: int) -> float:
    """Return the return since an instant: against the last bar before it, or the first bar of all."""
    base = max(int(np.searchsorted(at, since, side="left")) - 1, 0)
    return ratio(float(equity[-1]), float(equity[base])) - 1.0


def _seconds(when: npt.NDArray[np.datetime64]) -> int:
    return int(when.astype("datetime64[s]").astype(np.int64)[0])
