"""The risk rules a backtest applies to its account, under the names live trading knows them by."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

from apps.domain.errors import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an account may do. A rule that is None is off; every order a rule stops is counted under its name.

    Values are in the currency of the account, rates are of its equity (0.02 is 2 percent).
    """

    max_order_value: float | None = None  # price times size of one order
    max_position_size: float | None = None  # units of one instrument
    max_open_positions: int | None = None  # at the same time, over all instruments
    max_gross_exposure: float | None = None  # rate: what all positions are worth, longs and shorts added
    max_net_exposure: float | None = None  # rate: longs less shorts, to either side
    max_asset_exposure: float | None = None  # rate: what the position in one instrument is worth
    max_strategy_exposure: float | None = None  # rate: what the strategy holds, which in a run is everything
    max_order_rate: int | None = None  # entries within a minute
    price_band: float | None = None  # rate: how far a fill may be from the close that decided
    max_correlation: float | None = None  # of returns over the last 240 bars, with each position held
    leverage: float | None = None  # buying power as a multiple of equity; None is 1: what the account owns
    max_daily_loss: float | None = None  # rate of the equity at the start of the UTC day: no entry until the next day
    max_drawdown: float | None = None  # rate from the highest equity: no entry any more
    max_loss_streak: int | None = None  # losing trades in a row: no entry until the next UTC day
    cooldown: int | None = None  # bars without an entry after a losing trade
    close_on_breach: bool = False  # a daily loss or drawdown also leaves every position at the next open


_WHOLE = frozenset({"max_open_positions", "max_loss_streak", "cooldown", "max_order_rate"})
_BELOW_ONE = frozenset({"max_daily_loss", "max_drawdown", "max_correlation"})


def problems(limits: Limits) -> Iterator[Problem]:
    """Yield everything wrong with the values of `limits`."""
    for item in fields(limits):
        value = getattr(limits, item.name)
        if value is None or item.name == "close_on_breach":
            continue
        if item.name in _WHOLE and not isinstance(value, int):
            yield _problem(item.name, value, "must be a whole number", "use 3 for example")
        elif not 0 < value < float("inf"):
            yield _problem(item.name, value, "must be a number greater than 0", "leave it out to switch the rule off")
        elif item.name in _BELOW_ONE and value >= 1:
            yield _problem(item.name, value, "must be a rate below 1", "use 0.05 or 5% for five percent")


def _problem(field: str, value: object, rule: str, remedy: str) -> Problem:
    return Problem(field=field, value=str(value)[:40], rule=rule, remedy=remedy)
