"""An account with known trades, dated back into a closed period, so that reports can be checked by hand."""

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection

from apps.domain.legs import ExitReason
from apps.market.models import Instrument
from apps.strategies.models import Signal, Strategy
from apps.trading.models import Account, Allocation, Decision, Position, RiskMetric
from apps.trading.services import exits
from tests import factories
from tests.factories import make_account, opened, set_quote, stop

D = Decimal


def account(start: datetime, **more: str) -> Account:
    """Open an account that pays 0.1 % of every fill, some time before a period."""
    made = make_account(fee_rate="0.001", **more)  # type: ignore[arg-type]  # texts by name
    Account.objects.filter(pk=made.pk).update(opened_at=start)
    made.refresh_from_db()
    shift("trading_ledgerentry", "at", start, f"account_id = {made.pk}")
    return made


def round_trip(
    owner: Account, instrument: Instrument, quantity: str, price: str, out: str, *, at: datetime, side: str = "long"
) -> Position:
    """Open and leave a lot, then date all of it back: in at `at`, out ten minutes later."""
    set_quote(instrument, price)
    lot = opened(owner, instrument, quantity=quantity, side=side, at=factories.now())
    set_quote(instrument, out)
    exits.request_exit(position_id=lot.pk, reason=ExitReason.MANUAL, source="test", now=factories.now())
    factories.drain()
    date_back(lot, at, at + timedelta(minutes=10))
    lot.refresh_from_db()
    return lot


def held(owner: Account, instrument: Instrument, quantity: str, price: str, *, at: datetime) -> Position:
    """Open a lot with a stop and keep it."""
    set_quote(instrument, price)
    lot = opened(owner, instrument, stop("50"), quantity=quantity, at=factories.now())
    date_back(lot, at, None)
    return lot


def followed(owner: Account, lot: Position, name: str = "crossing") -> Strategy:
    """Say that a strategy of the account opened a lot."""
    strategy, _ = Strategy.objects.get_or_create(name=name, defaults={"plugin": "sma_cross"})
    strategy.instruments.add(lot.instrument)
    Allocation.objects.get_or_create(strategy=strategy, account=owner, defaults={"notional": D(100)})
    values = {"bar_at": lot.opened_at, "stance": 1, "price": D(1), "made_at": lot.opened_at}
    signal = Signal.objects.create(strategy=strategy, instrument=lot.instrument, **values)
    Position.objects.filter(pk=lot.pk).update(signal=signal)
    return strategy


def refused(owner: Account, instrument: Instrument, rule: str, at: datetime) -> Decision:
    """Write down a refusal."""
    verdicts = [{"rule": "spread", "allowed": True}, {"rule": rule, "allowed": False}]
    return Decision.objects.create(
        account=owner,
        instrument=instrument,
        side="long",
        quantity=D(1),
        approved=False,
        reason=f"{rule} said no.",
        verdicts=verdicts,
        at=at,
    )


def date_back(lot: Position, entry: datetime, exit_: datetime | None) -> None:
    """Move a lot with its fills, books and exits to other times."""
    where = f"position_id = {lot.pk}"
    Position.objects.filter(pk=lot.pk).update(opened_at=entry, closed_at=exit_)
    fills = f"fill_id IN (SELECT id FROM trading_fill WHERE {where} AND exit_id IS {{}}NULL)"
    shift("trading_ledgerentry", "at", entry, fills.format(""))
    shift("trading_fill", "at", entry, f"{where} AND exit_id IS NULL")
    if exit_ is None:
        return
    shift("trading_ledgerentry", "at", exit_, fills.format("NOT "))
    shift("trading_fill", "at", exit_, f"{where} AND exit_id IS NOT NULL")
    shift("trading_drain", "committed_at", exit_, f"id IN (SELECT drain_id FROM trading_exit WHERE {where})")
    shift("trading_exit", "tick_at", exit_ - timedelta(milliseconds=40), where)
    shift("trading_exit", "closed_at", exit_, where)


def shift(table: str, column: str, at: datetime, where: str) -> None:
    """Set a time in rows that are append-only, with their triggers asleep."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(f"UPDATE {table} SET {column} = %s WHERE {where}", [at])
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def measured(owner: Account, at: datetime, equity: str, *, gross: str = "0", positions: int = 0) -> None:
    """Write a row as the risk monitor does."""
    worth = D(equity)
    values = {"equity": worth, "cash": worth, "gross": D(gross), "net": D(gross), "peak": worth, "day_start": worth}
    RiskMetric.objects.create(account=owner, at=at, open_positions=positions, **values)
