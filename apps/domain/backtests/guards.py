"""The limits of an account in the loop: what blocks an entry, and what a bar's equity or a lost trade sets off."""

from apps.domain import compiled
from apps.domain.backtests.state import Account, Refusal, Rules

NONE = -1
DAY = 86400
VALUE, POSITION, POSITIONS, GROSS, DAILY, DRAWDOWN, STREAK, COOLDOWN = map(
    int,
    (
        Refusal.MAX_ORDER_VALUE,
        Refusal.MAX_POSITION_SIZE,
        Refusal.MAX_OPEN_POSITIONS,
        Refusal.MAX_GROSS_EXPOSURE,
        Refusal.MAX_DAILY_LOSS,
        Refusal.MAX_DRAWDOWN,
        Refusal.MAX_LOSS_STREAK,
        Refusal.COOLDOWN,
    ),
)


@compiled.rule
def order_refusal(value: float, position: float, account: Account, rules: Rules) -> int:
    """Return the Refusal of an order worth `value` that makes a position of that size, NONE when it is allowed."""
    if 0.0 < rules.max_order_value < value:
        return VALUE
    if 0.0 < rules.max_position_size < position:
        return POSITION
    if 0 < rules.max_open_positions <= account.positions:
        return POSITIONS
    if 0.0 < rules.max_gross_exposure * account.equity < account.gross + value:
        return GROSS
    return NONE


@compiled.rule
def block(decided: int, day: int, account: Account) -> int:
    """Return the Refusal of any entry decided at bar `decided` and filled on `day`, NONE when entries are open."""
    if account.stopped:
        return DRAWDOWN
    if account.blocked_day == day:
        return account.blocked_by
    if decided < account.sleeps_until:
        return COOLDOWN
    return NONE


@compiled.rule
def start_bar(at: int, account: Account) -> None:
    """Begin a UTC day with the equity of the bar before."""
    day = at // DAY
    if day != account.day:
        account.day = day
        account.day_equity = account.equity


@compiled.rule
def end_bar(account: Account, rules: Rules) -> None:
    """Judge the equity a bar ended with."""
    account.peak = max(account.peak, account.equity)
    if rules.max_drawdown > 0.0 and account.equity <= account.peak * (1 - rules.max_drawdown):
        account.stopped = True
        account.breached = rules.close_on_breach
    if rules.max_daily_loss > 0.0 and account.equity <= account.day_equity * (1 - rules.max_daily_loss):
        account.blocked_day = account.day
        account.blocked_by = DAILY
        account.breached = rules.close_on_breach


@compiled.rule
def closed(t: int, pnl: float, account: Account, rules: Rules) -> None:
    """Count a closed trade: lost ones make a streak and a pause."""
    if not pnl < 0.0:
        account.streak = 0
        return
    account.streak += 1
    if rules.cooldown > 0:
        account.sleeps_until = t + rules.cooldown
    if 0 < rules.max_loss_streak <= account.streak:
        account.blocked_day = account.day
        account.blocked_by = STREAK
        account.streak = 0
