"""Our statistics against those of quantstats 0.0.86 and backtesting 0.6.6, wherever they define the same thing.

The expected figures were printed once in an environment of their own (`pip install quantstats backtesting`) by:

    import numpy as np, pandas as pd, quantstats.stats as s
    from backtesting._stats import compute_stats
    def walk(step, n=600):
        moves = (np.arange(n) * step % 1009 / 1009 - 0.49) * 0.04
        return np.round(100 * np.cumprod(1 + moves), 2)
    days = pd.bdate_range("2021-01-04", periods=600)
    equity, market = pd.Series(walk(7919) * 1000, days), pd.Series(walk(3571), days)
    r, b = equity.pct_change().dropna(), market.pct_change().dropna()
    # quantstats: s.sharpe(r), s.sortino(r), s.smart_sharpe(r), ... s.best(r, aggregate="ME"), s.greeks(r, b)
    entry = np.arange(0, 590, 12)
    leave, side, size = entry + np.arange(50) % 9 + 1, np.where(np.arange(50) % 3 == 2, -1, 1), 100 + entry
    c = market.values
    pnl = side * size * (c[leave] - c[entry]) - 0.001 * size * (c[leave] + c[entry])
    trades = pd.DataFrame(dict(EntryBar=entry, ExitBar=leave, Size=size * side, PnL=pnl,
                               ReturnPct=pnl / (size * c[entry]), Duration=days[leave] - days[entry]))
    print(compute_stats(trades, equity.values, pd.DataFrame(dict(Open=c, High=c, Low=c, Close=c), index=days), None))

Percentages of quantstats are times 100, losses (value at risk, drawdown) with the sign turned. Left out because the
definitions differ: its ulcer index divides by n - 1, its recovery factor and its monthly gain to pain sum returns where
ours compound them (checked below with those terms put in), its CVaR is parametric unless the historical one is asked
for, as it was here.
"""

import math

import numpy as np
import pytest

from apps.domain.backtests import statistics
from tests.domain import curves

QUANTSTATS = {
    "sharpe": 0.6090701940362789,
    "sortino": 0.891498272852835,
    "sharpe_smart": 0.482174993311095,
    "sortino_smart": 0.7057613029805628,
    "sortino_halved": 0.6303844741503346,
    "sharpe_probabilistic_pct": 82.59033226756888,
    "omega": 1.092754116282869,
    "gain_to_pain": 0.09275411628286886,
    "annual_return_pct": 9.944182000862178,
    "annual_volatility_pct": 18.316716164906573,
    "max_drawdown_pct": 5.264596046998793,
    "value_at_risk_normal_pct": 1.853635077895344,
    "conditional_value_at_risk_pct": 1.8541030427902492,
    "tail_ratio": 1.0470963153543178,
    "payoff_ratio_returns": 1.0497605117078053,
    "kelly_returns_pct": 4.329217409817968,
    "risk_of_ruin_pct": 1.573048649911609e-291,
    "cpc_index": 0.5850747268986188,
    "common_sense_ratio": 1.1442188087480558,
    "outlier_win_ratio": 1.9564959845520677,
    "outlier_loss_ratio": 1.9585393657450558,
    "skew": -0.0005835665926388916,
    "kurtosis": -1.1993814908194536,
    "expected_return_pct": 0.03762716242370345,
    "expected_month_pct": 0.8080483375229264,
    "expected_year_pct": 7.800786683464933,
    "longest_winning_run": 4,
    "longest_losing_run": 4,
    "best_day_pct": 2.03309692671394,
    "worst_day_pct": -1.9561961812055384,
    "best_month_pct": 4.509283819628629,
    "worst_month_pct": -1.761164525114578,
    "best_year_pct": 8.751529987760032,
    "worst_year_pct": 6.053017874103972,
    "win_days_pct": 51.00334448160535,
    "win_months_pct": 64.28571428571429,
    "win_quarters_pct": 90.0,
    "win_years_pct": 100.0,
    "beta": -0.004533485883805901,
    "alpha_pct": 11.196792012859728,
    "correlation": -0.004537544020799902,
    "r_squared": 2.058930574069661e-05,
    "information_ratio": 0.0845003347284266,
    "treynor_pct": -5575.267783915266,
}

BACKTESTING = {
    "exposure_pct": 48.333333333333336,
    "final_equity": 122820.0,
    "peak_equity": 125340.0,
    "return_pct": 25.27539779681763,
    "buy_and_hold_return_pct": 18.900448796409613,
    "annual_return_pct": 9.9441820008632,
    "compounded_volatility_pct": 20.29980640743884,
    "cagr_pct": 10.333314932883852,
    "sharpe_geometric": 0.4898658539531277,
    "sortino_geometric": 0.7946476579021124,
    "alpha_total_pct": 25.35917748999046,
    "max_drawdown_pct": 5.264596046998815,
    "average_drawdown_pct": 3.522151271108581,
    "longest_drawdown_days": 108,
    "closed_trades": 50,
    "win_rate_pct": 44.0,
    "best_trade_pct": 4.201119436670588,
    "worst_trade_pct": -4.025825825825828,
    "geometric_trade_pct": -0.2319349892303979,
    "average_trade_pct": -0.21443529697488167,
    "longest_trade_days": 13,
    "profit_factor_rates": 0.7510313925716657,
    "sqn": -0.7682895385604339,
    "kelly_pct": -16.242564987002156,
}


@pytest.fixture(scope="module")
def found() -> dict[str, object]:
    return statistics.of(*curves.peers_case())


@pytest.mark.parametrize("key", QUANTSTATS)
def test_quantstats_says_the_same(found: dict[str, float], key: str) -> None:
    assert found[key] == pytest.approx(QUANTSTATS[key], rel=1e-9)


@pytest.mark.parametrize("key", BACKTESTING)
def test_backtesting_says_the_same(found: dict[str, float], key: str) -> None:
    assert found[key] == pytest.approx(BACKTESTING[key], rel=1e-9)


def test_their_other_definitions_lead_back_to_ours(found: dict[str, float]) -> None:
    # Their ulcer index counts returns, ours bars; their Calmar ratio takes the annual return, ours the CAGR.
    assert found["ulcer_index_pct"] * math.sqrt(600 / 598) == pytest.approx(2.0403268384741806, rel=1e-9)
    calmar = found["annual_return_pct"] / found["max_drawdown_pct"]
    assert calmar == pytest.approx(1.8888784461499366, rel=1e-9)
    returns = np.diff(curves.walk(7919)) / curves.walk(7919)[:-1]
    recovery = 100 * returns.sum() / found["max_drawdown_pct"]
    assert recovery == pytest.approx(5.037049177389592, rel=1e-9)
    months = [str(day)[:7] for day in curves.weekdays()[1:].astype("datetime64[s]")]
    summed = np.array([returns[[month == each for month in months]].sum() for each in sorted(set(months))])
    assert summed.sum() / -summed[summed < 0].sum() == pytest.approx(4.422619759399408, rel=1e-9)
    # They round lengths up to whole days.
    assert math.ceil(found["average_drawdown_days"]) == 23
    assert math.ceil(found["average_trade_days"]) == 7
