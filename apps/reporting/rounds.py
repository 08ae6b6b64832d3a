"""The rounds of trading and of a backtest in one shape, so that they can be compared."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

from apps.domain import numbers
from apps.domain.backtests import drift
from apps.domain.backtests.conventions import Conventions, Slippage
from apps.domain.backtests.drift import Execution, Round
from apps.domain.backtests.result import Reason, Result
from apps.domain.fills import Costs
from apps.domain.sides import Side
from apps.domain.states import ExitStatus, PositionStatus
from apps.trading.models import Account, Allocation, Exit, Position


def of_account(allocation: Allocation, since: datetime, until: datetime) -> list[Round]:
    """Return the lots that an account opened on signals of a period."""
    rows = Position.objects.filter(
        account_id=allocation.account_id,
        signal__strategy_id=allocation.strategy_id,
        signal__bar_at__gte=since,
        signal__bar_at__lt=until,
    )
    costs = _costs(allocation.account)
    return [_live_round(row, costs) for row in rows.select_related("instrument", "signal").prefetch_related("exits")]


def of_backtest(result: Result, symbol: str) -> Iterator[Round]:
    """Yield the trades of a backtest as rounds, the open ones last."""
    told, chosen = result.trades, result.conventions
    for row in range(len(told.pnl)):
        side = Side.LONG if told.side[row] > 0 else Side.SHORT
        entry, left = int(told.entry_bar[row]), int(told.exit_bar[row])
        yield Round(
            instrument=symbol,
            side=side,
            signal_at=int(result.at[entry - 1]),
            quantity=_exact(told.size[row]),
            entry=_modelled(chosen, side.sign, told.entry_price[row], int(result.at[entry])),
            exit=_modelled(chosen, -side.sign, told.exit_price[row], int(result.at[left])),
            reason=Reason(int(told.reason[row])).label,
            fees=_exact(told.entry_fee[row] + told.exit_fee[row] + told.carry[row]),
        )
    for held in result.open:
        side = Side.LONG if held.side > 0 else Side.SHORT
        paid = chosen.fee_rate * held.entry_price * held.size + chosen.fee_fixed
        yield Round(
            instrument=symbol,
            side=side,
            signal_at=int(result.at[held.entry_bar - 1]),
            quantity=_exact(held.size),
            entry=_modelled(chosen, side.sign, held.entry_price, int(result.at[held.entry_bar])),
            exit=None,
            reason="",
            fees=_exact(paid),
        )


def _modelled(chosen: Conventions, order_sign: int, price: float, at: int) -> Execution:
    """Return a fill of the backtest with the price it was made of: the slippage of its convention taken off again."""
    if chosen.slippage is Slippage.PERCENT:
        reference = price / (1 + order_sign * chosen.slippage_value)
    else:
        reference = price - order_sign * chosen.slippage_value
    return Execution(reference=_exact(reference), price=_exact(price), at=at)


def _live_round(row: Position, costs: Costs) -> Round:
    side, tick = Side(row.side), row.instrument.tick_size
    assert row.signal is not None
    entry = Execution(
        reference=drift.reference(side.sign, row.entry_price, costs, tick),
        price=row.entry_price,
        at=seconds(row.opened_at),
    )
    done = [one for one in row.exits.all() if one.status == ExitStatus.DONE]
    closed = row.status == PositionStatus.CLOSED
    return Round(
        instrument=row.instrument.symbol,
        side=side,
        signal_at=seconds(row.signal.bar_at),
        quantity=row.quantity,
        entry=entry,
        exit=drift.average([_left(one, side, costs, tick) for one in done]) if closed else None,
        reason=row.exit_reason if closed else "",
        fees=row.fees,
    )


def _left(row: Exit, side: Side, costs: Costs, tick: Decimal) -> tuple[Decimal, Execution]:
    """Return the quantity and the fill of an exit; one that was late met another price than the one that crossed."""
    assert row.quantity is not None
    assert row.fill_price is not None
    reference = row.trigger_price
    if reference is None or row.late:
        reference = drift.reference(-side.sign, row.fill_price, costs, tick)
    return row.quantity, Execution(reference=reference, price=row.fill_price, at=seconds(row.tick_at))


def _costs(account: Account) -> Costs:
    return Costs(
        fee_rate=account.fee_rate,
        fee_fixed=account.fee_fixed,
        slippage_rate=account.slippage_rate,
        slippage_fixed=account.slippage_fixed,
    )


def _exact(value: float) -> Decimal:
    return numbers.stored(Decimal(repr(float(value))))


def seconds(at: datetime) -> int:
    """Return an instant as whole seconds since the epoch."""
    return int(at.astimezone(UTC).timestamp())
