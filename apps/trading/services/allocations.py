"""Turning signals into positions: each account that follows a strategy opens a lot with its own brackets, and leaves it
once the strategy no longer wants it."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from apps.domain import numbers
from apps.domain.backtests.conventions import Entries, Sides
from apps.domain.errors import Refused, Unavailable
from apps.domain.legs import ExitReason, Leg, LegKind
from apps.domain.restrictions import TradingState
from apps.domain.sides import Side
from apps.market import selectors as market
from apps.market.models import Instrument, Quote
from apps.strategies.models import Signal
from apps.trading import selectors
from apps.trading.models import Allocation
from apps.trading.services import entering, exits, positions, restrictions, withdrawing

SOURCE: Final = "strategy"  # who saw that a lot is to be left
# A strategy that said nothing for longer starts anew: its next stance is no change. Long enough for a closed market.
REMEMBERED: Final = timedelta(days=7)
REMEMBERED_BARS: Final = 10

logger = logging.getLogger(__name__)

_Key = tuple[int, int, int]  # account, strategy, instrument


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lots:
    """How many lots each account holds, or has ordered, of an instrument for a strategy; those being left not."""

    held: Counter[_Key]

    def free(self, allocation: Allocation, signal: Signal) -> bool:
        return self.held[_key(allocation, signal)] < allocation.max_lots

    def add(self, allocation: Allocation, signal: Signal) -> None:
        self.held[_key(allocation, signal)] += 1

    def drop(self, allocation: Allocation, signal: Signal) -> None:
        self.held[_key(allocation, signal)] -= 1


def follow(signal_ids: Sequence[int], now: datetime) -> list[int]:
    """Leave and open what every allocation wants on these signals and return the ids of positions opened at once.

    Where a broker takes orders, the order is stored instead, and its first fill opens the position.

    A signal opens one position per account however often it comes, and leaves only lots that an earlier bar opened.
    One that cannot be opened (no fresh price, no money, a bracket the market has overtaken) is logged and left out.
    An allocation that is switched off opens nothing; what it holds is still left. Where trading is halted no strategy
    is followed at all.
    """
    signals = list(Signal.objects.filter(pk__in=signal_ids).select_related("instrument", "strategy").order_by("pk"))
    followers = _followers({signal.strategy_id for signal in signals})
    halted = _halts()
    wanted = [
        (signal, each)
        for signal in signals
        for each in followers.get(signal.strategy_id, ())
        if not halted(signal, each)
    ]
    quotes = market.quotes([signal.instrument_id for signal, _ in wanted])
    lots = _lots([signal.strategy_id for signal, _ in wanted])
    opened = []
    for signal, allocation in wanted:
        for _ in _leave(signal, allocation, now):
            lots.drop(allocation, signal)
        quote = quotes.get(signal.instrument_id)
        if quote is None or not _opens(signal, allocation) or not lots.free(allocation, signal):
            continue
        entered = _open(signal, allocation, quote, now)
        if entered is not None:
            lots.add(allocation, signal)
            opened += [entered.position.pk] if entered.position else []
    return opened


def legs(
    allocation: Allocation,
    side: Side,
    price: Decimal,
    tick_size: Decimal,
    now: datetime,
    plan: Mapping[str, object] | None = None,
) -> tuple[Leg, ...]:
    """Return the ways out for a lot entered at `price`; levels on the grid, rounded away from the price.

    What the strategy's own `plan` names (prices, and a distance for the trailing stop) replaces the allocation's.
    """
    planned = {name: Decimal(str(value)) for name, value in (plan or {}).items() if value is not None}
    found = []
    for kind, rate, sign in (
        (LegKind.STOP_LOSS, allocation.stop_loss, -side.sign),
        (LegKind.TAKE_PROFIT, allocation.take_profit, side.sign),
    ):
        level = planned.get(kind, None if rate is None else price * (1 + sign * rate))
        if level is not None:
            to_grid = numbers.ceil_to if sign > 0 else numbers.floor_to
            found.append(Leg(kind=kind, level=to_grid(level, tick_size)))
    if "trailing_distance" in planned:
        trail = max(numbers.floor_to(planned["trailing_distance"], tick_size), tick_size)
        found.append(Leg(kind=LegKind.TRAILING_STOP, trail=trail))
    elif allocation.trailing_stop is not None:
        found.append(Leg(kind=LegKind.TRAILING_STOP, trail=allocation.trailing_stop, trail_is_rate=True))
    if allocation.time_stop is not None:
        found.append(Leg(kind=LegKind.TIME_STOP, due_at=now + timedelta(seconds=allocation.time_stop)))
    return tuple(found)


def quantity(notional: Decimal, price: Decimal, instrument: Instrument) -> Decimal:
    """Return how much `notional` buys at `price`, whole lots only; 0 when that is less than an order may be."""
    found = numbers.floor_to(notional / price, instrument.lot_size)
    return found if found >= instrument.min_quantity else Decimal(0)


def _followers(strategy_ids: set[int]) -> dict[int, list[Allocation]]:
    found: dict[int, list[Allocation]] = {}
    for row in Allocation.objects.filter(strategy_id__in=strategy_ids).select_related("account").order_by("pk"):
        found.setdefault(row.strategy_id, []).append(row)
    return found


def _halts() -> Callable[[Signal, Allocation], bool]:
    """Return the question whether trading is halted for what an allocation would do on a signal."""
    stopped = selectors.restrictions()

    def ask(signal: Signal, allocation: Allocation) -> bool:
        state = restrictions.state_of(
            stopped,
            account_id=allocation.account_id,
            instrument_id=signal.instrument_id,
            strategy_id=signal.strategy_id,
        )
        return state is TradingState.HALTED

    return ask


def _key(allocation: Allocation, signal: Signal) -> _Key:
    return allocation.account_id, signal.strategy_id, signal.instrument_id


def _lots(strategy_ids: Sequence[int]) -> _Lots:
    rows = selectors.lots().filter(signal__strategy_id__in=set(strategy_ids))
    held = Counter(rows.values_list("account_id", "signal__strategy_id", "instrument_id"))
    coming = withdrawing.coming(set(strategy_ids))
    held.update(coming.values_list("account_id", "decision__strategy_id", "instrument_id"))
    return _Lots(held=held)


def _leave(signal: Signal, allocation: Allocation, now: datetime) -> Iterator[int]:
    """Ask for the exit of every lot the stance no longer agrees with; yield the lots that are being left by now.

    A signal says nothing about lots that its own bar or a later one opened, so one that comes late leaves none of them.
    """
    if not allocation.exit_on_signal or (allocation.entries == Entries.CROSS and not signal.stance):
        return
    withdrawing.follow(signal, allocation.account_id, now=now)
    agrees = {1: Side.LONG, -1: Side.SHORT}.get(signal.stance, "")
    held = selectors.lots().filter(
        account_id=allocation.account_id,
        instrument_id=signal.instrument_id,
        signal__strategy_id=signal.strategy_id,
        signal__bar_at__lt=signal.bar_at,
    )
    for position_id in held.exclude(side=agrees).order_by("pk").values_list("pk", flat=True):
        try:
            exits.request_exit(
                position_id=position_id,
                reason=ExitReason.SIGNAL,
                source=SOURCE,
                now=now,
                actor=f"strategy:{signal.strategy_id}",
                note=f"signal {signal.pk}: the stance became {signal.stance:+d}",
            )
        except exits.AlreadyLeaving as earlier:
            logger.info("Signal %s: %s", signal.pk, earlier)
        yield position_id


def _opens(signal: Signal, allocation: Allocation) -> bool:
    """Say whether a signal is one that the allocation opens on, money and prices aside."""
    unwanted = {Sides.LONG: -1, Sides.SHORT: 1, Sides.BOTH: 0}[Sides(allocation.sides)]
    if not allocation.enabled or signal.stance in (0, unwanted):
        return False
    if allocation.entries == Entries.LEVEL:
        return True
    before = _before(signal)
    if allocation.entries == Entries.CROSS:
        return before == -signal.stance
    return before is not None and before != signal.stance


def _before(signal: Signal) -> int | None:
    """Return the stance of the bar before, None when nothing is known of it: then there is no change to see.

    Bars without a trade have no signal. Another version of the code, or other parameters, are another strategy.
    """
    memory = max(REMEMBERED, REMEMBERED_BARS * timedelta(seconds=signal.strategy.bar_seconds))
    rows = Signal.objects.filter(
        strategy_id=signal.strategy_id,
        instrument_id=signal.instrument_id,
        bar_at__lt=signal.bar_at,
        bar_at__gte=signal.bar_at - memory,
    )
    last = rows.order_by("-bar_at").first()
    if last is None or (last.version, last.parameters) != (signal.version, signal.parameters):
        return None
    return last.stance


def _open(signal: Signal, allocation: Allocation, quote: Quote, now: datetime) -> entering.Entered | None:
    side = Side.LONG if signal.stance > 0 else Side.SHORT
    instrument = signal.instrument
    price = positions.expected_price(side, quote, allocation.account, instrument)
    amount = quantity(allocation.notional, price, instrument)
    if not amount:
        logger.warning("%s is too little for one order of %s", allocation.notional, instrument)
        return None
    wish = positions.Opening(
        account_id=allocation.account_id,
        instrument_id=signal.instrument_id,
        side=side,
        quantity=amount,
        legs=legs(allocation, side, price, instrument.tick_size, now, signal.plan),
        actor=f"strategy:{signal.strategy_id}",
        signal_id=signal.pk,
        max_lots=allocation.max_lots,
    )
    try:
        entered = entering.enter(entering.Entry(opening=wish), now=now)
    except (Refused, Unavailable) as error:
        logger.info("Signal %s was not followed by account %s: %s", signal.pk, allocation.account_id, error)
        return None
    return entered if entered.created else None
