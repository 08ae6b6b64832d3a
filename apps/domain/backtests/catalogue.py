"""What is each statistic called, in which unit, and in one line, how is it computed? docs/statistics.md says the rest.

In formulas r are the sampled returns, n how many of them make a year, E the equity and d its depth below the peak.
"""

from typing import NamedTuple

MONEY, PERCENT, RATIO, DAYS, COUNT, TEXT, SECONDS = "money", "%", "ratio", "days", "count", "text", "seconds"


class Entry(NamedTuple):
    """One statistic: its key, the name people know, its unit and its formula."""

    key: str
    label: str
    unit: str
    formula: str


def _entries(text: str) -> tuple[Entry, ...]:
    rows = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    return tuple(Entry(*row) for row in rows)


PERIOD = _entries("""
start | Start | text | when the first bar began
end | End | text | when the last bar began
duration_days | Duration | days | end - start
bars | Bars | count | bars tested
bar_seconds | Bar length | seconds | median distance of two bars
sampled_by | Returns sampled by | text | day when bars are finer and there are more than 30 days, else bar
samples | Returns | count | number of sampled returns
samples_a_year | Returns a year | ratio | 252 days, 365 when weekends trade, times bars a day
""")

ACCOUNT = _entries("""
start_equity | Start equity | money | cash
final_equity | Final equity | money | E(last)
peak_equity | Peak equity | money | max E
lowest_equity | Lowest equity | money | min E
net_profit | Net profit | money | E(last) - cash
return_pct | Return | % | E(last) / cash - 1
cagr_pct | CAGR | % | (1 + return) ^ (1 / calendar years) - 1
annual_return_pct | Annual return | % | (geometric mean of 1 + r) ^ n - 1
expected_return_pct | Expected return a sample | % | geometric mean of 1 + r, - 1
buy_and_hold_return_pct | Buy & hold return | % | mean over instruments of last close / first close - 1
exposure_pct | Time in the market | % | bars with a position / bars
average_exposure_pct | Average exposure | % | mean of position value / equity
""")

RISK = _entries("""
annual_volatility_pct | Annual volatility | % | std(r) · √n
compounded_volatility_pct | Annual volatility, compounded | % | √((var(r) + g²)^n - g^(2n)), g = 1 + geometric mean
sharpe | Sharpe ratio | ratio | mean(r) / std(r) · √n
sharpe_simple_252 | Sharpe ratio, per bar · √252 | ratio | mean / std of returns per bar · √252
sharpe_geometric | Sharpe ratio, compounded | ratio | annual return / compounded volatility
sharpe_smart | Smart Sharpe | ratio | Sharpe / autocorrelation penalty
sharpe_probabilistic_pct | Probabilistic Sharpe | % | Φ(SR √(N-1) / √(1 - skew SR + (kurt+2)/4 SR²))
sharpe_deflated_pct | Deflated Sharpe | % | the same above the expected best of all trials
trials | Trials searched | count | parameter sets tried
sortino | Sortino ratio | ratio | mean(r) / √mean(min(r, 0)²) · √n
sortino_geometric | Sortino ratio, compounded | ratio | annual return / (√mean(min(r, 0)²) · √n)
sortino_smart | Smart Sortino | ratio | Sortino / autocorrelation penalty
sortino_halved | Sortino / √2 | ratio | Sortino / √2
calmar | Calmar ratio | ratio | CAGR / max drawdown
omega | Omega ratio | ratio | Σ positive r / -Σ negative r
gain_to_pain | Gain to pain | ratio | Σ r / -Σ negative r
gain_to_pain_months | Gain to pain, months | ratio | the same on monthly returns
tail_ratio | Tail ratio | ratio | absolute 95 % quantile of r over 5 % quantile
common_sense_ratio | Common sense ratio | ratio | omega · tail ratio
cpc_index | CPC index | ratio | omega · share of winning samples · payoff of samples
payoff_ratio_returns | Payoff ratio of samples | ratio | mean positive r / -mean negative r
kelly_returns_pct | Kelly, from samples | % | w - (1 - w) / payoff of samples
risk_of_ruin_pct | Risk of ruin | % | ((1 - w) / (1 + w)) ^ N
value_at_risk_pct | Value at risk 95 % | % | -5 % quantile of r
value_at_risk_normal_pct | Value at risk 95 %, normal | % | -(mean(r) - 1.645 std(r))
conditional_value_at_risk_pct | Expected shortfall (CVaR) | % | -mean of r at or below its 5 % quantile
outlier_win_ratio | Outlier win ratio | ratio | 99 % quantile of r / mean of r ≥ 0
outlier_loss_ratio | Outlier loss ratio | ratio | 1 % quantile of r / mean of r < 0
skew | Skew | ratio | sample skewness of r
kurtosis | Kurtosis (excess) | ratio | sample excess kurtosis of r
autocorrelation | Autocorrelation | ratio | correlation of r with the r before
longest_winning_run | Longest winning run | count | most positive samples in a row
longest_losing_run | Longest losing run | count | most negative samples in a row
""")

DRAWDOWN = _entries("""
max_drawdown_pct | Max drawdown | % | max d, d = 1 - E / running max of E
max_drawdown_from | Max drawdown began | text | the peak before it
max_drawdown_at | Max drawdown reached | text | its lowest bar
average_drawdown_pct | Average drawdown | % | mean of the deepest d of each drawdown
drawdowns | Drawdowns | count | stretches below a peak
longest_drawdown_days | Longest drawdown | days | from a peak to the first bar back at it
average_drawdown_days | Average drawdown length | days | mean of the same
current_drawdown_pct | Current drawdown | % | d(last)
under_water_pct | Time under water | % | bars with d > 0 / bars
pain_index_pct | Pain index | % | mean d over bars
ulcer_index_pct | Ulcer index | % | √mean(d²) over bars
martin | Martin ratio (UPI) | ratio | CAGR / ulcer index
serenity | Serenity index | ratio | Σ r / (ulcer · CVaR of d / std(r))
recovery_factor | Recovery factor | ratio | return / max drawdown
""")

CALENDAR = _entries("""
best_day_pct | Best day | % | max return of a UTC day
worst_day_pct | Worst day | % | min return of a UTC day
best_month_pct | Best month | % | max return of a month
worst_month_pct | Worst month | % | min return of a month
best_year_pct | Best year | % | max return of a calendar year
worst_year_pct | Worst year | % | min return of a calendar year
win_days_pct | Winning days | % | days up / days that moved
win_months_pct | Winning months | % | months up / months that moved
win_quarters_pct | Winning quarters | % | quarters up / quarters that moved
win_years_pct | Winning years | % | years up / years that moved
average_up_month_pct | Average up month | % | mean of positive months
average_down_month_pct | Average down month | % | mean of negative months
expected_month_pct | Expected month | % | geometric mean of 1 + month, - 1
expected_year_pct | Expected year | % | geometric mean of 1 + year, - 1
consistency | Consistency (R² of log equity) | ratio | squared correlation of log E with time, by day
return_mtd_pct | Month to date | % | E(last) / E(end of the month before) - 1
return_3m_pct | 3 months | % | E(last) / E(3 months before) - 1
return_6m_pct | 6 months | % | E(last) / E(6 months before) - 1
return_ytd_pct | Year to date | % | E(last) / E(end of the year before) - 1
return_1y_pct | 1 year | % | E(last) / E(12 months before) - 1
return_3y_pct | 3 years, a year | % | the same over 36 months, per year
return_5y_pct | 5 years, a year | % | the same over 60 months, per year
return_10y_pct | 10 years, a year | % | the same over 120 months, per year
""")

BENCHMARK = _entries("""
benchmark | Benchmark | text | what the curve is compared with
benchmark_return_pct | Benchmark return | % | B(last) / B(first) - 1
benchmark_cagr_pct | Benchmark CAGR | % | the same per calendar year
benchmark_sharpe | Benchmark Sharpe | ratio | mean(b) / std(b) · √n
benchmark_max_drawdown_pct | Benchmark max drawdown | % | max depth of B
excess_return_pct | Excess return | % | return - benchmark return
alpha_pct | Alpha, a year | % | (mean(r) - β mean(b)) · n
alpha_total_pct | Alpha, total return | % | return - β of log returns · benchmark return
beta | Beta | ratio | cov(r, b) / var(b)
correlation | Correlation | ratio | cov(r, b) / (std(r) std(b))
r_squared | R² | ratio | correlation²
tracking_error_pct | Tracking error | % | std(r - b) · √n
information_ratio | Information ratio | ratio | mean(r - b) / std(r - b) · √n
treynor_pct | Treynor ratio | % | return / β
up_capture_pct | Up capture | % | geometric mean r / geometric mean b, where b > 0
down_capture_pct | Down capture | % | the same where b < 0
""")

TRADES = _entries("""
closed_trades | Closed trades | count | a partial exit is one
open_trades | Open at the end | count | positions held on the last bar
rejected_entries | Rejected entries | count | entries wanted and not made
win_rate_pct | Win rate | % | trades with pnl > 0 / closed trades
profit_factor | Profit factor | ratio | gross profit / -gross loss
profit_factor_rates | Profit factor of rates | ratio | Σ positive rates / -Σ negative rates
expectancy | Expectancy | money | mean pnl
sqn | SQN | ratio | √trades · mean(pnl) / std(pnl)
kelly_pct | Kelly criterion | % | w - (1 - w) / payoff ratio
payoff_ratio | Payoff ratio | ratio | average win / -average loss
gross_profit | Gross profit | money | Σ positive pnl
gross_loss | Gross loss | money | Σ negative pnl
average_win | Average win | money | mean of positive pnl
average_loss | Average loss | money | mean of negative pnl
largest_win | Largest win | money | max pnl
largest_loss | Largest loss | money | min pnl
best_trade_pct | Best trade | % | max rate; rate = pnl / (entry price · size)
worst_trade_pct | Worst trade | % | min rate
average_trade_pct | Average trade | % | mean rate
geometric_trade_pct | Average trade, compounded | % | geometric mean of 1 + rate, - 1
average_win_pct | Average winner | % | mean of positive rates
average_loss_pct | Average loser | % | mean of negative rates
average_adverse_pct | Average adverse excursion | % | mean MAE
average_favourable_pct | Average favourable excursion | % | mean MFE
edge_ratio | Edge ratio | ratio | mean MFE / -mean MAE
longest_win_streak | Longest winning streak | count | most wins in a row
longest_loss_streak | Longest losing streak | count | most losses in a row
longest_trade_days | Longest trade | days | max exit - entry
average_trade_days | Average trade length | days | mean exit - entry
average_trade_bars | Average trade length in bars | ratio | mean exit bar - entry bar
long_trades | Long trades | count | closed trades that were long
long_pnl | Long profit | money | Σ pnl of long trades
long_win_rate_pct | Long win rate | % | of long trades
short_trades | Short trades | count | closed trades that were short
short_pnl | Short profit | money | Σ pnl of short trades
short_win_rate_pct | Short win rate | % | of short trades
ambiguous_bars | Ambiguous bars | count | bars on which the order of touches was assumed
ambiguous_trades | Ambiguous trades | count | trades whose exit bar held several levels
""")

COSTS = _entries("""
fees_total | Fees | money | Σ entry and exit fees of closed trades
slippage_estimate | Slippage, estimated | money | Σ size · what the model made each fill worse
carry_total | Carry | money | Σ borrowing and funding
pnl_before_costs | Profit before costs | money | Σ pnl + fees + carry + slippage
fees_of_gross_profit_pct | Fees of gross profit | % | fees / Σ positive pnl before fees
costs_of_gross_profit_pct | Costs of gross profit | % | (fees + carry + slippage) / gross profit before them
turnover | Turnover | ratio | Σ notional of all fills / mean equity
turnover_a_year | Turnover a year | ratio | turnover / years
trades_a_year | Trades a year | ratio | closed trades / years
""")

GROUPS: dict[str, tuple[Entry, ...]] = {
    "Period": PERIOD,
    "Account": ACCOUNT,
    "Reward and risk": RISK,
    "Drawdown": DRAWDOWN,
    "Calendar": CALENDAR,
    "Benchmark": BENCHMARK,
    "Trades": TRADES,
    "Costs": COSTS,
}
ENTRIES = {entry.key: entry for group in GROUPS.values() for entry in group}
