"""How far did trading drift from its backtest? The trades of both over one period, fill by fill.

A difference between two fills is taken apart so that the parts add up exactly, in price units, worse for the trader
being positive:

    total = market + paid - assumed

market   what the market did between the two: the price live trading met against the price the backtest assumed
paid     the slippage of the live fill: from the price it met to the price it got
assumed  the slippage of the backtest's fill, by its convention

This is the implementation shortfall of Perold (1988) with the backtest as the paper portfolio. Numbers are Decimal.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from apps.domain import numbers
from apps.domain.fills import Costs
from apps.domain.sides import Side

ZERO: Final = Decimal(0)
_BPS: Final = Decimal(10_000)
Bar = tuple[str, int]  # instrument, when the bar began (seconds since the epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One fill: the price the market showed, the price that was got, and when (seconds since the epoch)."""

    reference: Decimal
    price: Decimal
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One position from entry to exit, of either world; `exit` is None while it is open.

    Several exits are one with their average price. `signal_at` is when the bar began whose stance led to the entry.
    """

    instrument: str
    side: Side
    signal_at: int
    quantity: Decimal
    entry: Execution
    exit: Execution | None
    reason: str  # of the exit
    fees: Decimal

    @property
    def key(self) -> tuple[str, int, Side]:
        """What makes two rounds the same decision."""
        return self.instrument, self.signal_at, self.side

    @property
    def pnl(self) -> Decimal:
        """Profit after fees; of an open round only its fees."""
        return _gain(self) * self.quantity - self.fees


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """One live fill against the backtest's, in price units of one base unit, worse for the trader being positive."""

    market: Decimal
    paid: Decimal
    assumed: Decimal
    base: Decimal  # the backtest's fill price
    seconds: int  # by which the live fill came later than the begin of the backtest's bar

    @property
    def total(self) -> Decimal:
        """The whole difference of the two fill prices."""
        return self.market + self.paid - self.assumed

    @property
    def bps(self) -> Decimal:
        """The same in hundredths of a percent of the backtest's price."""
        return self.total / self.base * _BPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The same decision in both worlds. `exit` is None unless both left for the same reason."""

    live: Round
    model: Round
    entry: Slip
    exit: Slip | None

    @property
    def slips(self) -> tuple[Slip, ...]:
        """The fills that can be compared."""
        return (self.entry, self.exit) if self.exit else (self.entry,)

    @property
    def comparable(self) -> bool:
        """Say whether the two were left for the same reason, or are both open."""
        return self.live.reason == self.model.reason

    @property
    def prices(self) -> Decimal:
        """What the difference of the prices made of profit, at the live quantity."""
        return (_gain(self.live) - _gain(self.model)) * self.live.quantity

    @property
    def quantities(self) -> Decimal:
        """What the difference of the quantities made of profit."""
        return (self.live.quantity - self.model.quantity) * _gain(self.model)

    @property
    def fees(self) -> Decimal:
        """What the difference of the fees made of profit."""
        return self.model.fees - self.live.fees


@dataclass(frozen=True, slots=True, kw_only=True)
class Stances:
    """The stance of every bar in both worlds. Each tuple holds bars."""

    same: int
    different: tuple[Bar, ...]
    missed: tuple[Bar, ...]  # of the backtest only: nobody was asked, or nobody answered
    extra: tuple[Bar, ...]  # live only: the stored candles have no such bar

    @property
    def agreement(self) -> float:
        """The share of all bars on which both said the same; 1 without any."""
        bars = self.same + len(self.different) + len(self.missed) + len(self.extra)
        return self.same / bars if bars else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Two lists of rounds, compared."""

    pairs: tuple[Pair, ...]
    missed: tuple[Round, ...]  # of the backtest only
    extra: tuple[Round, ...]  # live only

    @property
    def slips(self) -> tuple[Slip, ...]:
        """Every fill that can be compared, in the order of the rounds."""
        return tuple(slip for pair in self.pairs for slip in pair.slips)


def stances(live: Mapping[Bar, int], model: Mapping[Bar, int]) -> Stances:
    """Compare the stance of each bar."""
    both = live.keys() & model.keys()
    return Stances(
        same=sum(live[bar] == model[bar] for bar in both),
        different=tuple(sorted(bar for bar in both if live[bar] != model[bar])),
        missed=tuple(sorted(model.keys() - live.keys())),
        extra=tuple(sorted(live.keys() - model.keys())),
    )


def compare(live: Sequence[Round], model: Sequence[Round]) -> Drift:
    """Match rounds by instrument, side and the bar whose stance led to them; each is matched at most once."""
    waiting: dict[tuple[str, int, Side], list[Round]] = {}
    for round_ in model:
        waiting.setdefault(round_.key, []).append(round_)
    pairs, extra = [], []
    for round_ in sorted(live, key=lambda one: one.key):
        twins = waiting.get(round_.key)
        if twins:
            pairs.append(_pair(round_, twins.pop(0)))
        else:
            extra.append(round_)
    missed = sorted((one for rest in waiting.values() for one in rest), key=lambda one: one.key)
    return Drift(pairs=tuple(pairs), missed=tuple(missed), extra=tuple(extra))


def why(round_: Round, said: Stances, *, missed: bool) -> str:
    """Say why a round has no twin: what was said of the bar that led to it, or else what was made of it."""
    bar = (round_.instrument, round_.signal_at)
    if bar in said.missed:
        return "nobody was asked after that bar"
    if bar in said.extra:
        return "the stored candles have no such bar"
    if bar in said.different:
        return "the stance was another"
    return "the signal was not followed" if missed else "the backtest did not follow the signal"


def totals(drift: Drift) -> dict[str, Any]:
    """Return the sums: fills in basis points, money in the quote currency, and the difference in profit explained.

    `difference` is the live profit less the backtest's, and the sum of the parts below it.
    """
    slips = drift.slips
    parts = {
        "prices": _sum(pair.prices for pair in drift.pairs if pair.comparable),
        "other_exits": _sum(pair.prices for pair in drift.pairs if not pair.comparable),
        "quantities": _sum(pair.quantities for pair in drift.pairs),
        "fees": _sum(pair.fees for pair in drift.pairs),
        "missed": -_sum(round_.pnl for round_ in drift.missed),
        "extra": _sum(round_.pnl for round_ in drift.extra),
    }
    live = _sum(pair.live.pnl for pair in drift.pairs) + _sum(round_.pnl for round_ in drift.extra)
    model = _sum(pair.model.pnl for pair in drift.pairs) + _sum(round_.pnl for round_ in drift.missed)
    return {
        "matched": len(drift.pairs),
        "missed": len(drift.missed),
        "extra": len(drift.extra),
        "other_exits": sum(not pair.comparable for pair in drift.pairs),
        "fills": len(slips),
        "mean_bps": _mean([slip.bps for slip in slips]),
        "mean_market_bps": _mean([slip.market / slip.base * _BPS for slip in slips]),
        "mean_paid_bps": _mean([slip.paid / slip.base * _BPS for slip in slips]),
        "mean_assumed_bps": _mean([slip.assumed / slip.base * _BPS for slip in slips]),
        "worst_bps": max((slip.bps for slip in slips), default=None),
        "mean_seconds": _mean([Decimal(slip.seconds) for slip in slips]),
        "cost": _sum(slip.total * pair.live.quantity for pair in drift.pairs for slip in pair.slips),
        "live_pnl": live,
        "model_pnl": model,
        "difference": live - model,
        "explained": parts,
    }


def reference(order_sign: int, price: Decimal, costs: Costs, tick_size: Decimal) -> Decimal:
    """Return the price on the grid that `fills.slipped` makes this fill price of.

    Where two prices on the grid lead to the same fill, which rounding makes possible for a sale, the one nearer to it.
    """
    if order_sign > 0:
        return numbers.floor_to((price - costs.slippage_fixed) / (1 + costs.slippage_rate), tick_size)
    return numbers.ceil_to((price + costs.slippage_fixed) / (1 - costs.slippage_rate), tick_size)


def average(parts: Sequence[tuple[Decimal, Execution]]) -> Execution:
    """Return several fills (quantity and execution) as one, at the time of the last."""
    whole = sum((quantity for quantity, _ in parts), ZERO)
    return Execution(
        reference=sum((quantity * part.reference for quantity, part in parts), ZERO) / whole,
        price=sum((quantity * part.price for quantity, part in parts), ZERO) / whole,
        at=max(part.at for _, part in parts),
    )


def _pair(live: Round, model: Round) -> Pair:
    both = live.exit is not None and model.exit is not None and live.reason == model.reason
    sign = live.side.sign
    return Pair(
        live=live,
        model=model,
        entry=_slip(sign, live.entry, model.entry),
        exit=_slip(-sign, live.exit, model.exit) if both and live.exit and model.exit else None,
    )


def _slip(order_sign: int, live: Execution, model: Execution) -> Slip:
    return Slip(
        market=(live.reference - model.reference) * order_sign,
        paid=(live.price - live.reference) * order_sign,
        assumed=(model.price - model.reference) * order_sign,
        base=model.price,
        seconds=live.at - model.at,
    )


def _gain(round_: Round) -> Decimal:
    """Return the profit of one base unit before fees; nothing while it is open."""
    return (round_.exit.price - round_.entry.price) * round_.side.sign if round_.exit else ZERO


def _sum(values: Iterable[Decimal]) -> Decimal:
    return sum(values, ZERO)


def _mean(values: Sequence[Decimal]) -> Decimal | None:
    return sum(values, ZERO) / len(values) if values else None
