"""A small world of orders for tests: accounts that are not filled at once, orders of them, and what a venue says."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.domain.legs import Leg
from apps.domain.orders import Execution, OrderKind, Purpose, Report, TimeInForce, client_id
from apps.domain.sides import Side
from apps.domain.states import ExitStatus, OrderStatus, PositionStatus
from apps.market.models import Instrument
from apps.ops import invariants
from apps.trading.models import Account, Decision, Exit, ExitLeg, Order, Position
from apps.trading.services import legs as leg_rows
from apps.trading.services import settling
from apps.trading.services.settling import Settled
from tests import factories


def make_account(**more: Any) -> Account:
    """Open an account at a broker that takes orders."""
    account = factories.make_account(**more)
    Account.objects.filter(pk=account.pk).update(instant=False, broker="coinbase")
    return factories.fresh(account)


def entry(
    account: Account, instrument: Instrument, *legs: Leg, quantity: str = "1", side: str = "long", **more: Any
) -> Order:
    """Store an entry order that a worker is sending."""
    decision = Decision.objects.create(
        account=account, instrument=instrument, side=side, quantity=Decimal(quantity), approved=True
    )
    name = client_id(Purpose.ENTRY, decision.pk, 1, account_id=account.pk, opened_at=account.opened_at)
    return _order(
        account,
        instrument,
        purpose=Purpose.ENTRY,
        client_id=name,
        decision=decision,
        buy=side == "long",
        quantity=Decimal(quantity),
        legs=leg_rows.plain(legs),
        **more,
    )


def lot(
    account: Account, instrument: Instrument, *legs: Leg, quantity: str = "1", price: str = "100", **more: Any
) -> Position:
    """Let an entry order fill at once and return its lot."""
    order = entry(account, instrument, *legs, quantity=quantity, **more)
    say(order, "filled", fill(f"open-{order.pk}", quantity, price))
    found = factories.fresh(order).position
    assert found is not None
    return found


def claimed(position: Position, leg: ExitLeg | None = None, reason: str = "api") -> Exit:
    """Store an exit that a worker has claimed."""
    Position.objects.filter(pk=position.pk).update(status=PositionStatus.CLOSING)
    at = factories.now()
    return Exit.objects.create(
        position=position,
        leg=leg,
        reason=leg.kind if leg else reason,
        status=ExitStatus.CLAIMED,
        source="test",
        tick_at=at,
        seen_at=at,
    )


def leaving(exit_: Exit, quantity: str = "1", attempt: int = 1, **more: Any) -> Order:
    """Store an order of an exit that a worker is sending."""
    position = exit_.position
    account = position.account
    name = client_id(Purpose.EXIT, exit_.pk, attempt, account_id=account.pk, opened_at=account.opened_at)
    return _order(
        account,
        position.instrument,
        purpose=Purpose.EXIT,
        client_id=name,
        position=position,
        exit=exit_,
        attempt=attempt,
        buy=position.side == Side.SHORT,
        quantity=Decimal(quantity),
        **more,
    )


def protecting(position: Position, stop_price: str, quantity: str = "1") -> Order:
    """Store a stop that the venue keeps."""
    account = position.account
    name = client_id(Purpose.PROTECT, position.pk, 1, account_id=account.pk, opened_at=account.opened_at)
    return _order(
        account,
        position.instrument,
        purpose=Purpose.PROTECT,
        client_id=name,
        position=position,
        kind=OrderKind.STOP,
        stop_price=Decimal(stop_price),
        buy=position.side == Side.SHORT,
        quantity=Decimal(quantity),
        status=OrderStatus.ACCEPTED,
    )


def _order(account: Account, instrument: Instrument, **values: Any) -> Order:
    values = {"kind": OrderKind.MARKET, "tif": TimeInForce.GTC, "status": OrderStatus.SUBMITTING, **values}
    sent_at = factories.now() - timedelta(seconds=1)
    order = Order.objects.create(account=account, instrument=instrument, sent_at=sent_at, **values)
    return factories.fresh(order)


def fill(
    key: str, quantity: str, price: str = "100", *, fee: str = "0", asset: str = "", at: datetime | None = None
) -> Execution:
    return Execution(
        id=key,
        quantity=Decimal(quantity),
        price=Decimal(price),
        fee=Decimal(fee),
        fee_asset=asset,
        at=at or factories.now(),
    )


def report(order: Order, status: str, *executions: Execution, filled: str | None = None, reason: str = "") -> Report:
    total = sum((one.quantity for one in executions), Decimal(0))
    return Report(
        client_id=order.client_id,
        venue_id=f"v{order.pk}",
        status=OrderStatus(status),
        filled=total if filled is None else Decimal(filled),
        executions=tuple(executions),
        reason=reason,
    )


def say(order: Order, status: str, *executions: Execution, **more: Any) -> Settled:
    """Settle what a venue says of an order now."""
    return settling.settle(order.pk, report(order, status, *executions, **more), now=factories.now())


def live_legs(position: Position) -> Sequence[ExitLeg]:
    return list(position.legs.filter(status="live").order_by("pk"))


def sound(account: Account) -> bool:
    """Say whether every invariant holds and the books of the account's own currency balance."""
    broken = [(one.id, one.examples) for one in invariants.check() if one.violations]
    assert broken == []
    lines, lots = list(account.ledger.filter(currency=account.currency)), list(account.positions.all())
    held = sum((one.cost if one.side == "long" else -one.cost for one in lots), Decimal(0))
    assert sum(line.cash + line.holdings + line.fees + line.pnl + line.capital for line in lines) == 0
    assert sum(line.holdings for line in lines) == held
    assert sum(line.fees for line in lines) == sum(one.fees for one in lots)
    return -sum(line.pnl for line in lines) == sum(one.realised_pnl for one in lots)
