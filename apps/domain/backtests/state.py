"""What the loop remembers, as records of plain numbers: the rules of a run, the account, a position, an order."""

from enum import IntEnum
from typing import get_type_hints

import numpy as np


class Refusal(IntEnum):
    """Why a wanted entry was not made; its lower-case name is the key in `Result.rejected`."""

    LAST_BAR = 0  # decided on the last bar: there is no next open to fill at
    IN_POSITION = 1  # the stance changed while a position was held that it does not leave
    SAME_BAR = 2  # a level ended a position on the bar that decided, and re-entry on it is off
    SIZE = 3  # the size rounds down to nothing
    CASH = 4  # more than the account can buy
    NO_STOP = 5  # sizing by risk needs a stop on the losing side of the price
    NO_DEVIATION = 6  # sizing by volatility needs closes that moved, over `volatility_bars` bars
    PRICE = 7  # the price is not above zero
    MAX_ORDER_VALUE = 8
    MAX_POSITION_SIZE = 9
    MAX_OPEN_POSITIONS = 10
    MAX_GROSS_EXPOSURE = 11
    MAX_DAILY_LOSS = 12
    MAX_DRAWDOWN = 13
    MAX_LOSS_STREAK = 14
    COOLDOWN = 15
    MAX_NET_EXPOSURE = 16
    MAX_ASSET_EXPOSURE = 17
    MAX_STRATEGY_EXPOSURE = 18
    MAX_ORDER_RATE = 19
    PRICE_BAND = 20
    MAX_CORRELATION = 21


class Rules:
    """The conventions of a run as the loop reads them. NaN switches a level off, 0 a limit, -1 a rounding."""

    longs: bool
    shorts: bool
    entries: int
    exit_on_signal: bool
    at_close: bool
    reentry: bool
    warmup: int
    lot: float  # sizes are multiples of it; 0 is any size
    sizing: int
    size: float
    size_fee: bool
    fee_rate: float
    fee_fixed: float
    maker_rate: float
    resting: bool  # targets are filled at their price, at the maker rate
    fee_decimals: int
    slip_rate: float
    slip_fixed: float
    slip_share: float
    stop: float
    target: float
    trail: float
    trail_wake: float
    even: float
    even_offset: float
    moving: bool  # some protecting level depends on the best price
    time_stop: int
    from_signal: bool
    entry_bar: bool
    order: int
    open_first: bool
    gap_sl: int
    gap_tp: int
    tp_net: bool
    px_decimals: int
    end: int
    borrow: float  # a second
    funding: float
    funding_seconds: int
    planned: bool
    detailed: bool
    carries: bool
    limited: bool
    max_order_value: float
    max_position_size: float
    max_open_positions: int
    max_gross_exposure: float
    max_net_exposure: float
    max_asset_exposure: float
    max_strategy_exposure: float
    max_order_rate: int
    price_band: float
    max_correlation: float
    leverage: float
    max_daily_loss: float
    max_drawdown: float
    max_loss_streak: int
    cooldown: int
    close_on_breach: bool


class Account:
    """The money, and what the limits look at."""

    cash: float
    equity: float  # at the prices of the fill under way
    gross: float  # what all positions are worth at those prices
    positions: int
    trades: int
    ambiguous: int
    peak: float
    day: int
    day_equity: float
    blocked_day: int  # no entry on this day, because of
    blocked_by: int
    streak: int
    minute: int  # when the present minute of entries began
    entries: int  # made in it
    sleeps_until: int  # the first bar that may decide an entry again
    stopped: bool  # the drawdown limit: no entry any more
    breached: bool  # leave everything at the next open


class Book:
    """One instrument: the position, its levels, and what the last one leaves behind."""

    side: int
    size: float
    opened: float
    entry_bar: int
    entry_price: float
    entry_fee: float  # of what is still held
    carry: float  # of what is still held
    stop: float
    target: float  # the nearest one still ahead
    target_share: float  # the fraction of what was opened that it leaves; above 1 is everything
    last_target: float
    base: float
    rung: int  # how many partial exits are behind
    even_wake: float
    even_level: float
    trail_wake: float
    trail_rate: float
    trail_distance: float
    best: float
    exited_bar: int  # the last bar on which a level ended a position


class Ticket:
    """An entry about to be made."""

    side: int
    price: float  # before slippage
    signal: float  # the close of the bar that decided
    deviation: float
    volume: float  # of the last bar that is complete
    stop: float  # of the exit plan, NaN without
    target: float
    trail: float


class Column(IntEnum):
    """The rows of the array that trades are written to, a column per trade: one closed trade, or one partial exit."""

    INSTRUMENT = 0
    SIDE = 1
    ENTRY_BAR = 2
    EXIT_BAR = 3
    ENTRY_PRICE = 4
    EXIT_PRICE = 5
    SIZE = 6
    ENTRY_FEE = 7
    EXIT_FEE = 8
    CARRY = 9
    PNL = 10
    REASON = 11
    AMBIGUOUS = 12


_KINDS = {float: np.float64, int: np.int64, bool: np.bool_}


def record(shape: type) -> np.dtype[np.void]:
    """Return the numpy record that has the fields of `shape`."""
    return np.dtype([(name, _KINDS[kind]) for name, kind in get_type_hints(shape).items()], align=True)


RULES, ACCOUNT, BOOK, TICKET = map(record, (Rules, Account, Book, Ticket))
