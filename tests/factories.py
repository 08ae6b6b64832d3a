"""A small world for tests: instruments with prices, accounts with money, positions, and prices that cross levels."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from apps.access.models import User
from apps.domain.legs import Leg, LegKind
from apps.domain.sides import Side
from apps.journal.models import Lease
from apps.market.models import Instrument, Quote
from apps.trading.models import Account, Exit, ExitLeg, Position
from apps.trading.services import accounts, exits, positions
from apps.trading.services.exits import Crossing, Drained, Fence
from apps.trading.services.positions import Opening

ROLE = "listener:0"


def now() -> datetime:
    return datetime.now(UTC)


def make_user(name: str = "trader", **more: Any) -> User:
    return User.objects.create_user(name, password="a long enough password", **more)


def make_instrument(symbol: str = "BTC-USD", price: str | None = "100", **more: Any) -> Instrument:
    """Make an instrument on a grid of 0.01 and 0.0001, with a fresh price unless told None."""
    base, _, quote = symbol.partition("-")
    values = {
        "base_currency": base,
        "quote_currency": quote,
        "tick_size": Decimal("0.01"),
        "lot_size": Decimal("0.0001"),
        "min_quantity": Decimal("0.0001"),
        **more,
    }
    instrument = Instrument.objects.create(symbol=symbol, **values)
    if price is not None:
        set_quote(instrument, price)
    return instrument


def set_quote(
    instrument: Instrument,
    price: str,
    *,
    bid: str | None = None,
    ask: str | None = None,
    at: datetime | None = None,
    trade_id: int = 1,
) -> Quote:
    at = at or now()
    best = {name: None if text is None else Decimal(text) for name, text in (("bid", bid), ("ask", ask))}
    values = {"price": Decimal(price), "low": Decimal(price), "high": Decimal(price), "trade_id": trade_id, **best}
    quote, _ = Quote.objects.update_or_create(
        instrument=instrument, defaults={**values, "at": at, "received_at": at, "heard_at": at}
    )
    return quote


def make_account(user: User | None = None, *, deposit: str = "1000000", name: str = "paper", **costs: str) -> Account:
    """Open an account that trades for nothing unless costs are named (fee_rate, slippage_rate, ...)."""
    owner = user or make_user()
    account = accounts.open_account(owner_id=owner.pk, name=name, deposit=Decimal(deposit), now=now())
    for field in ("fee_rate", "fee_fixed", "slippage_rate", "slippage_fixed"):
        setattr(account, field, Decimal(costs.get(field, "0")))
    account.save()
    return account


def stop(level: str, fraction: str = "1") -> Leg:
    return Leg(kind=LegKind.STOP_LOSS, level=Decimal(level), fraction=Decimal(fraction))


def target(level: str, fraction: str = "1") -> Leg:
    return Leg(kind=LegKind.TAKE_PROFIT, level=Decimal(level), fraction=Decimal(fraction))


def trailing(trail: str, *, rate: bool = False, activation: str | None = None, fraction: str = "1") -> Leg:
    return Leg(
        kind=LegKind.TRAILING_STOP,
        trail=Decimal(trail),
        trail_is_rate=rate,
        activation=None if activation is None else Decimal(activation),
        fraction=Decimal(fraction),
    )


def break_even(level: str, activation: str, fraction: str = "1") -> Leg:
    return Leg(
        kind=LegKind.BREAK_EVEN, level=Decimal(level), activation=Decimal(activation), fraction=Decimal(fraction)
    )


def time_stop(due_at: datetime) -> Leg:
    return Leg(kind=LegKind.TIME_STOP, due_at=due_at)


def wish(account: Account, instrument: Instrument, *legs: Leg, **more: Any) -> Opening:
    """Wish for a long position of 1 unless told otherwise."""
    quantity = Decimal(more.pop("quantity", "1"))
    side = Side(more.pop("side", "long"))
    return Opening(account_id=account.pk, instrument_id=instrument.pk, side=side, quantity=quantity, legs=legs, **more)


def opened(account: Account, instrument: Instrument, *legs: Leg, at: datetime | None = None, **more: Any) -> Position:
    """Open a position a second ago, so that a price of now counts for its legs."""
    when = at or now() - timedelta(seconds=1)
    return positions.open_position(wish(account, instrument, *legs, **more), now=when).position


def many(account: Account, instrument: Instrument, count: int, *legs: Leg, **more: Any) -> list[Position]:
    when = now() - timedelta(seconds=1)
    found = positions.open_many([wish(account, instrument, *legs, **more) for _ in range(count)], now=when)
    return [one.position for one in found]


def leg_of(position: Position, kind: str | LegKind) -> ExitLeg:
    return position.legs.filter(kind=kind, status="live").get()


def lead(epoch: int = 1, role: str = ROLE) -> Fence:
    """Let an epoch lead a role without holding its lock; a later call fences the earlier epoch."""
    Lease.objects.update_or_create(name=role, defaults={"epoch": epoch})
    return Fence(role, epoch)


def crossing(leg: ExitLeg | int, price: str, *, at: datetime | None = None, **more: Any) -> Crossing:
    """Say that a price crossed a leg's level just now."""
    at = at or now()
    values: dict[str, Any] = {
        "peak": None,
        "trade_id": 77,
        "venue_at": at.isoformat(),
        "counts_at": at,
        "tick_at": at,
        "seen_at": at,
        **more,
    }
    return Crossing(leg_id=leg if isinstance(leg, int) else leg.pk, price=price, **values)


def record(crossings: Sequence[Crossing], fence: Fence | None = None) -> set[int]:
    return exits.record_crossings(crossings, fence=fence or lead(), source="listener")


def drain(limit: int = 1000) -> Drained:
    return exits.drain(worker="test", limit=limit)


def cross(legs: Iterable[ExitLeg], price: str, **more: Any) -> Drained:
    """Write the exits of legs that a price of now crossed, and execute them."""
    record([crossing(leg, price, **more) for leg in legs])
    return drain()


def fresh(row: Any) -> Any:
    """Read a row again."""
    return type(row).objects.get(pk=row.pk)


def exits_of(position: Position) -> list[Exit]:
    return list(Exit.objects.filter(position=position).order_by("id"))


def books_balance(account: Account) -> bool:
    """Say whether the ledger's books agree with the account's positions, summed by hand."""
    lines, rows = list(account.ledger.all()), list(account.positions.all())
    sums = {book: sum((getattr(line, book) for line in lines), Decimal(0)) for book in BOOKS}
    held = sum((row.cost if row.side == "long" else -row.cost for row in rows), Decimal(0))
    return (
        sum(sums.values()) == 0
        and sums["holdings"] == held
        and sums["fees"] == sum(row.fees for row in rows)
        and -sums["pnl"] == sum(row.realised_pnl for row in rows)
    )


BOOKS = ("cash", "holdings", "fees", "pnl", "capital")
