"""The limits of an account in the loop: what blocks an entry, and what a bar's equity or a lost trade sets off.

What is compared, and how, are the measures of live risk rules, compiled.
"""

import numpy as np
import numpy.typing as npt

from apps.domain import compiled
from apps.domain.backtests.state import Account, Refusal, Rules
from apps.domain.risk import measures

Floats = npt.NDArray[np.float64]

NONE = -1
DAY, MINUTE = 86400, 60
ALIKE_BARS, ALIKE_FEWEST = measures.ALIKE_BARS, measures.ALIKE_FEWEST
VALUE, POSITION, POSITIONS, GROSS, NET, ASSET, STRATEGY = map(
    int,
    (
        Refusal.MAX_ORDER_VALUE,
        Refusal.MAX_POSITION_SIZE,
        Refusal.MAX_OPEN_POSITIONS,
        Refusal.MAX_GROSS_EXPOSURE,
        Refusal.MAX_NET_EXPOSURE,
        Refusal.MAX_ASSET_EXPOSURE,
        Refusal.MAX_STRATEGY_EXPOSURE,
    ),
)
DAILY, DRAWDOWN, STREAK, COOLDOWN, RATE, BAND = map(
    int,
    (
        Refusal.MAX_DAILY_LOSS,
        Refusal.MAX_DRAWDOWN,
        Refusal.MAX_LOSS_STREAK,
        Refusal.COOLDOWN,
        Refusal.MAX_ORDER_RATE,
        Refusal.PRICE_BAND,
    ),
)

too_much = compiled.rule(measures.too_much)
too_many = compiled.rule(measures.too_many)
share = compiled.rule(measures.share)
grown = compiled.rule(measures.grown)
nearer = compiled.rule(measures.nearer)
away = compiled.rule(measures.away)
lowest = compiled.rule(measures.lowest)
fallen = compiled.rule(measures.fallen)
streak_after = compiled.rule(measures.streak_after)
is_asleep = compiled.rule(measures.is_asleep)
likeness = compiled.part(measures.likeness)


@compiled.rule
def order_refusal(side: int, value: float, price: float, position: float, account: Account, rules: Rules) -> int:
    """Return the Refusal of an order worth `value` that makes a position of that size, NONE when it is allowed."""
    if rules.max_order_value > 0.0 and too_much(value, rules.max_order_value):
        return VALUE
    if rules.max_position_size > 0.0 and too_much(position, rules.max_position_size):
        return POSITION
    if rules.max_open_positions > 0 and too_many(account.positions, rules.max_open_positions):
        return POSITIONS
    return _exposure_refusal(side, value, position * price, account, rules)


@compiled.rule
def _exposure_refusal(side: int, value: float, worth: float, account: Account, rules: Rules) -> int:
    """Return the Refusal of an order by what all positions, or the one it makes, would be worth."""
    gross = grown(account.gross, value)
    if rules.max_gross_exposure > 0.0 and too_much(gross, share(account.equity, rules.max_gross_exposure)):
        return GROSS
    if rules.max_net_exposure > 0.0:
        before = account.equity - account.cash  # what all positions are worth, shorts negative
        after = grown(before, side * value)
        if too_much(abs(after), share(account.equity, rules.max_net_exposure)) and not nearer(before, after):
            return NET
    if rules.max_asset_exposure > 0.0 and too_much(worth, share(account.equity, rules.max_asset_exposure)):
        return ASSET
    if rules.max_strategy_exposure > 0.0 and too_much(gross, share(account.equity, rules.max_strategy_exposure)):
        return STRATEGY
    return NONE


@compiled.rule
def price_refusal(price: float, decided: float, rules: Rules) -> int:
    """Return the Refusal of a fill too far from the close that decided it, NONE when it is near enough."""
    return BAND if rules.price_band > 0.0 and too_much(away(price, decided), share(decided, rules.price_band)) else NONE


@compiled.part
def too_alike(k: int, side: int, d: int, close: Floats, books: npt.NDArray[np.void], rules: Rules) -> bool:
    """Say whether instrument `k` moved too much like one that is held, by the closes until bar `d`.

    Too few bars refuse as well: what is not known protects nobody.
    """
    since = max(0, d + 1 - ALIKE_BARS)
    for j in range(books.shape[0]):
        if j == k or books[j].side == 0:
            continue
        if d + 1 - since <= ALIKE_FEWEST:
            return True
        found = side * books[j].side * likeness(close[k, since : d + 1], close[j, since : d + 1])
        if not found <= rules.max_correlation:
            return True
    return False


@compiled.rule
def block(decided: int, day: int, account: Account, rules: Rules) -> int:
    """Return the Refusal of any entry decided at bar `decided` and filled on `day`, NONE when entries are open."""
    if account.stopped:
        return DRAWDOWN
    if account.blocked_day == day:
        return account.blocked_by
    if is_asleep(decided, account.sleeps_until):
        return COOLDOWN
    if rules.max_order_rate > 0 and too_many(account.entries, rules.max_order_rate):
        return RATE
    return NONE


@compiled.rule
def start_bar(at: int, account: Account) -> None:
    """Begin a UTC day with the equity of the bar before, and a minute of entries.

    The minute begins with the bar of its first entry.
    """
    if account.entries == 0 or not 0 <= at - account.minute < MINUTE:
        account.minute = at
        account.entries = 0
    day = at // DAY
    if day != account.day:
        account.day = day
        account.day_equity = account.equity


@compiled.rule
def end_bar(account: Account, rules: Rules) -> None:
    """Judge the equity a bar ended with."""
    account.peak = max(account.peak, account.equity)
    if rules.max_drawdown > 0.0 and fallen(account.equity, lowest(account.peak, rules.max_drawdown)):
        account.stopped = True
        account.breached = rules.close_on_breach
    if rules.max_daily_loss > 0.0 and fallen(account.equity, lowest(account.day_equity, rules.max_daily_loss)):
        account.blocked_day = account.day
        account.blocked_by = DAILY
        account.breached = rules.close_on_breach


@compiled.rule
def closed(t: int, pnl: float, account: Account, rules: Rules) -> None:
    """Count a closed trade: lost ones make a streak and a pause."""
    account.streak = streak_after(account.streak, pnl)
    if account.streak == 0:
        return
    if rules.cooldown > 0:
        account.sleeps_until = t + rules.cooldown
    if rules.max_loss_streak > 0 and too_many(account.streak, rules.max_loss_streak):
        account.blocked_day = account.day
        account.blocked_by = STREAK
        account.streak = 0
