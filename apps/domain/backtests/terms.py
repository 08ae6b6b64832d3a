"""How conventions become the record of plain numbers that the loop reads."""

from functools import lru_cache
from math import nan

import numpy as np
import numpy.typing as npt

from apps.domain.backtests.conventions import (
    Base,
    Conventions,
    End,
    Entries,
    Fill,
    Gap,
    Order,
    Sides,
    Sizing,
    Slippage,
    Units,
)
from apps.domain.backtests.entering import Ladder
from apps.domain.backtests.state import RULES

Record = npt.NDArray[np.void]
YEAR = 365 * 86400
_ENTRIES, _SIZINGS, _ORDERS, _GAPS, _ENDS = map(list, (Entries, Sizing, Order, Gap, End))


@lru_cache(maxsize=256)
def rules(chosen: Conventions, warmup: int, planned: bool, detailed: bool, funded: bool) -> Record:
    """Return one read-only record of state.RULES; `planned` and the like say that those arrays are given."""
    made = np.zeros(1, RULES)
    values = {
        **_orders(chosen),
        **_costs(chosen),
        **_levels(chosen, planned),
        **_limits(chosen),
        "warmup": warmup,
        "planned": planned,
        "detailed": detailed,
        "carries": bool(chosen.borrow_rate or chosen.funding_rate or funded),
    }
    for name, value in values.items():
        made[name] = value
    made.flags.writeable = False
    return made


def ladder(chosen: Conventions) -> Ladder:
    """Return the partial exits, the nearest first."""
    return np.array(sorted(chosen.partial_exits), dtype=np.float64).reshape(-1, 2)


def _orders(chosen: Conventions) -> dict[str, float]:
    lots = {Units.WHOLE: 1.0, Units.FRACTIONAL: 0.0, Units.LOTS: chosen.lot_size}
    return {
        "longs": chosen.sides is not Sides.SHORT,
        "shorts": chosen.sides is not Sides.LONG,
        "entries": _ENTRIES.index(chosen.entries),
        "exit_on_signal": chosen.exit_on_signal,
        "at_close": chosen.fill is Fill.CLOSE,
        "reentry": chosen.same_bar_reentry,
        "lot": lots[chosen.units],
        "sizing": _SIZINGS.index(chosen.sizing),
        "size": chosen.size,
        "size_fee": chosen.size_fee,
        "end": _ENDS.index(chosen.end),
    }


def _costs(chosen: Conventions) -> dict[str, float]:
    value = chosen.slippage_value
    rates = {Slippage.PERCENT: value, Slippage.SPREAD: value / 2}
    return {
        "fee_rate": chosen.fee_rate,
        "fee_fixed": chosen.fee_fixed,
        "maker_rate": chosen.fee_rate if chosen.maker_rate is None else chosen.maker_rate,
        "resting": chosen.maker_rate is not None,
        "fee_decimals": _or(chosen.round_fee, -1),
        "slip_rate": rates.get(chosen.slippage, 0.0),
        "slip_fixed": value if chosen.slippage is Slippage.FIXED else 0.0,
        "slip_share": value if chosen.slippage is Slippage.VOLUME_SHARE else 0.0,
        "borrow": chosen.borrow_rate / YEAR,
        "funding": chosen.funding_rate,
        "funding_seconds": chosen.funding_hours * 3600,
    }


def _levels(chosen: Conventions, planned: bool) -> dict[str, float]:
    moving = chosen.trailing_stop is not None or chosen.break_even is not None or planned
    return {
        "stop": _or(chosen.stop_loss, nan),
        "target": _or(chosen.take_profit, nan),
        "trail": _or(chosen.trailing_stop, nan),
        "trail_wake": _or(chosen.trailing_activation, nan),
        "even": _or(chosen.break_even, nan),
        "even_offset": chosen.break_even_offset,
        "moving": moving,
        "time_stop": _or(chosen.time_stop, 0),
        "from_signal": chosen.base is Base.SIGNAL,
        "entry_bar": chosen.entry_bar,
        "order": _ORDERS.index(chosen.order),
        "open_first": chosen.open_first,
        "gap_sl": _GAPS.index(chosen.gap_sl),
        "gap_tp": _GAPS.index(chosen.gap_tp),
        "tp_net": chosen.tp_net,
        "px_decimals": _or(chosen.round_px, -1),
    }


_LIMITS = (
    "max_order_value",
    "max_position_size",
    "max_open_positions",
    "max_gross_exposure",
    "max_net_exposure",
    "max_asset_exposure",
    "max_strategy_exposure",
    "max_order_rate",
    "price_band",
    "max_correlation",
    "max_daily_loss",
    "max_drawdown",
    "max_loss_streak",
    "cooldown",
)


def _limits(chosen: Conventions) -> dict[str, float]:
    set_ = {name: getattr(chosen.limits, name) for name in _LIMITS}
    return {
        **{name: _or(value, 0) for name, value in set_.items()},
        "limited": any(value is not None for value in set_.values()),
        "leverage": _or(chosen.limits.leverage, 1.0),
        "close_on_breach": chosen.limits.close_on_breach,
    }


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
