"""What a fill costs: slippage, fees, profit and loss, and the ledger line that follows from them.

`worse`, `charge` and `gain` are plain functions on plain numbers: live trading calls them with Decimal, the backtest
engine compiles them.
"""

from dataclasses import dataclass
from decimal import Decimal

from apps.domain import numbers
from apps.domain.legs import N


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What trading costs on an account: rates of the price and of the notional (0.001 is 0.1 percent)."""

    fee_rate: Decimal
    slippage_rate: Decimal
    fee_fixed: Decimal = Decimal(0)  # quote currency, on every fill
    slippage_fixed: Decimal = Decimal(0)  # price units, on top of the rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one fill does to the books of an account in the quote currency; the five always sum to zero.

    cash: money on hand · holdings: open positions at cost · fees: what was paid for trading · pnl: profit taken,
    negative because it is what the books owe the owner · capital: deposits, negative for the same reason.
    """

    cash: Decimal
    holdings: Decimal
    fees: Decimal
    pnl: Decimal
    capital: Decimal = Decimal(0)


def worse(order_sign: int, price: N, rate: N, fixed: N) -> N:
    """Return `price` made worse for an order by a rate of it and a fixed distance; +1 is a buy, -1 a sell."""
    return price + order_sign * (price * rate + fixed)


def charge(price: N, quantity: N, rate: N, fixed: N) -> N:
    """Return the fee of a fill, not rounded: `rate` of its notional plus the fixed part."""
    return price * quantity * rate + fixed


def gain(sign: int, basis: N, proceeds: N) -> N:
    """Return what a position earned before fees, from what its quantity was worth at entry and at exit."""
    return (proceeds - basis) * sign


def slipped(order_sign: int, price: Decimal, costs: Costs, tick_size: Decimal) -> Decimal:
    """Return the fill price of a market order: worse than `price` by the slippage, on the grid, never below one tick.

    `order_sign` is +1 for a buy and -1 for a sell. Rounding to the grid goes against the trader.
    """
    exact = worse(order_sign, price, costs.slippage_rate, costs.slippage_fixed)
    if order_sign > 0:
        return numbers.ceil_to(exact, tick_size)
    return max(numbers.floor_to(exact, tick_size), tick_size)


def fee(price: Decimal, quantity: Decimal, costs: Costs) -> Decimal:
    """Return the fee of a fill in the quote currency: rate times notional plus the fixed part, eight decimals."""
    return numbers.money(charge(price, quantity, costs.fee_rate, costs.fee_fixed))


def opening(sign: int, price: Decimal, quantity: Decimal, paid: Decimal) -> Line:
    """Return the ledger line of an opening fill with fee `paid`."""
    cost = numbers.money(price * quantity) * sign
    return Line(cash=-cost - paid, holdings=cost, fees=paid, pnl=Decimal(0))


def closing(sign: int, basis: Decimal, proceeds: Decimal, paid: Decimal) -> Line:
    """Return the ledger line of a closing fill; `basis` and `proceeds` are the quantity at entry and exit price."""
    return Line(cash=proceeds * sign - paid, holdings=-basis * sign, fees=paid, pnl=-gain(sign, basis, proceeds))
