"""Opening positions and amending their ways out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import IntegrityError, transaction

from apps.domain import fills, numbers, opening
from apps.domain.errors import Problem, Refused, Unavailable
from apps.domain.legs import Leg, LegKind
from apps.domain.sides import Side
from apps.domain.states import LegStatus, PositionStatus
from apps.journal import services as journal
from apps.market import selectors as market
from apps.market.models import Instrument, Quote
from apps.trading import books, locks
from apps.trading.models import Account, ExitLeg, Fill, LedgerEntry, LevelChange, Position, Watermark
from apps.trading.services import facts


class NoQuote(Unavailable):
    """There is no fresh price to open at; entries wait for one, exits never do."""


class PositionClosed(Refused):
    """The position is closed; nothing about it can be changed any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A wish to open a position; a repeated request key or signal opens nothing twice."""

    account_id: int
    instrument_id: int
    side: Side
    quantity: Decimal  # base units
    legs: tuple[Leg, ...] = ()
    actor: str = ""
    request_key: str | None = None
    signal_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The position an opening led to, and whether it was this call that opened it."""

    position: Position
    created: bool


def open_position(wish: Opening, *, now: datetime) -> Opened:
    """Open a position on paper at the present quote plus slippage, with its exit legs, fill, ledger line and event.

    Raises Refused with every problem found, and NoQuote when no fresh price is there; then nothing is stored.
    """
    try:
        with transaction.atomic():
            return _open(wish, now)
    except IntegrityError as error:
        earlier = _earlier(wish)
        if earlier is None:
            raise
        del error
        return Opened(position=earlier, created=False)


def amend_levels(
    *, position_id: int, legs: Mapping[LegKind, Sequence[Leg]], now: datetime, actor: str = ""
) -> Position:
    """Replace the live legs of each kind named by the given ones; an empty sequence removes them.

    Raises Refused with every problem found and PositionClosed for a closed position; then nothing changes.
    """
    with transaction.atomic():
        position = locks.position(position_id)
        if position.status == PositionStatus.CLOSED:
            raise PositionClosed(
                Problem(field="position", value=f"#{position_id}", rule="is closed", remedy="open a new one")
            )
        quote = market.quote_of(position.instrument_id)
        price = quote.price if quote else position.entry_price
        side, grid = Side(position.side), _grid(position.instrument)
        wanted = [leg for group in legs.values() for leg in group]
        found = opening.problems(side, position.quantity, wanted, price, grid, now)
        if found:
            raise Refused(*found)
        live = position.legs.filter(status=LegStatus.LIVE)
        live.filter(kind__in=list(legs)).update(status=LegStatus.CANCELLED)
        _add_legs(position, wanted, price, now)
        position.version += 1
        position.save(update_fields=["version"])
        LevelChange.objects.create(position_id=position.pk, shard=position.instrument.shard)
        payload = facts.of_position(position, list(live.all()))
        _record("position.amended", position, payload, actor)
    return position


def _open(wish: Opening, now: datetime) -> Opened:
    account = locks.account(wish.account_id)
    earlier = _earlier(wish)
    if earlier is not None:
        return Opened(position=earlier, created=False)
    instrument = Instrument.objects.get(pk=wish.instrument_id)
    quote = _quote(instrument, now)
    costs = _costs(account)
    reference = _reference(wish.side, quote)
    price = fills.slipped(wish.side.sign, reference, costs, instrument.tick_size)
    found = opening.problems(wish.side, wish.quantity, wish.legs, reference, _grid(instrument), now)
    paid = fills.fee(price, wish.quantity, costs)
    line = fills.opening(wish.side.sign, price, wish.quantity, paid)
    found += _funds(account, instrument, abs(line.holdings) + paid)
    if found:
        raise Refused(*found)
    position = _store(wish, account, instrument, price, paid, line, now)
    legs = _add_legs(position, wish.legs, reference, now)
    LevelChange.objects.create(position_id=position.pk, shard=instrument.shard)
    _record("position.created", position, facts.of_position(position, legs), wish.actor)
    return Opened(position=position, created=True)


def _store(
    wish: Opening,
    account: Account,
    instrument: Instrument,
    price: Decimal,
    paid: Decimal,
    line: fills.Line,
    now: datetime,
) -> Position:
    position = Position.objects.create(
        account=account,
        instrument=instrument,
        side=wish.side,
        quantity=wish.quantity,
        remaining=wish.quantity,
        cost=abs(line.holdings),
        entry_price=price,
        opened_at=now,
        fees=paid,
        signal_id=wish.signal_id,
        request_key=wish.request_key,
    )
    fill = Fill.objects.create(
        account=account,
        instrument=instrument,
        position=position,
        client_id=f"p{position.pk}-open-1",
        buy=wish.side is Side.LONG,
        quantity=wish.quantity,
        price=price,
        fee=paid,
        at=now,
    )
    LedgerEntry.objects.create(
        account=account,
        currency=instrument.quote_currency,
        fill=fill,
        kind="open",
        cash=line.cash,
        holdings=line.holdings,
        fees=line.fees,
        pnl=line.pnl,
        at=now,
    )
    return position


def _add_legs(position: Position, legs: Sequence[Leg], price: Decimal, now: datetime) -> list[ExitLeg]:
    """Store legs; one that follows the price starts from the market price, asleep where it has an activation."""
    rows = ExitLeg.objects.bulk_create(
        ExitLeg(
            position=position,
            instrument_id=position.instrument_id,
            kind=leg.kind,
            rises=(leg.kind == LegKind.TAKE_PROFIT) == (position.side == Side.LONG),
            fraction=leg.fraction,
            level=leg.level,
            activation=leg.activation,
            trail=leg.trail,
            trail_is_rate=leg.trail_is_rate,
            due_at=leg.due_at,
            since=now,
        )
        for leg in legs
    )
    Watermark.objects.bulk_create(
        Watermark(leg=row, peak=price if row.activation is None else None)
        for row in rows
        if row.kind in (LegKind.TRAILING_STOP, LegKind.BREAK_EVEN)
    )
    return rows


def _quote(instrument: Instrument, now: datetime) -> Quote:
    if not instrument.enabled:
        raise Refused(
            Problem(
                field="instrument", value=instrument.symbol, rule="is switched off", remedy="choose one that is enabled"
            )
        )
    quote = market.quote_of(instrument.pk)
    if quote is None or not market.is_fresh(quote, now):
        since = f"the last one came at {quote.heard_at:%Y-%m-%d %H:%M:%S} UTC" if quote else "none has come yet"
        raise NoQuote(f"There is no fresh price for {instrument.symbol}: {since}. Try again once its feed is live.")
    return quote


def _reference(side: Side, quote: Quote) -> Decimal:
    """Return what the market asks for entering: a buy pays the ask, a sale gets the bid."""
    best: Decimal | None = quote.ask if side is Side.LONG else quote.bid
    return quote.price if best is None else best


def _funds(account: Account, instrument: Instrument, needed: Decimal) -> list[Problem]:
    if account.currency != instrument.quote_currency:
        rule = f"is quoted in {instrument.quote_currency}, the account holds {account.currency}"
        return [
            Problem(field="instrument", value=instrument.symbol, rule=rule, remedy="use an account in that currency")
        ]
    free = books.buying_power(account)
    if needed <= free:
        return []
    have, need = numbers.plain(numbers.money(free)), numbers.plain(needed)
    rule = f"needs {need} {account.currency}, the account has {have} free"
    return [Problem(field="quantity", value=need, rule=rule, remedy="choose a smaller quantity or deposit more")]


def _costs(account: Account) -> fills.Costs:
    return fills.Costs(
        fee_rate=account.fee_rate,
        fee_fixed=account.fee_fixed,
        slippage_rate=account.slippage_rate,
        slippage_fixed=account.slippage_fixed,
    )


def _grid(instrument: Instrument) -> opening.Grid:
    return opening.Grid(
        tick_size=instrument.tick_size,
        lot_size=instrument.lot_size,
        min_quantity=instrument.min_quantity,
        max_quantity=instrument.max_quantity,
    )


def _earlier(wish: Opening) -> Position | None:
    rows = Position.objects.filter(account_id=wish.account_id).select_related("instrument")
    if wish.request_key is not None:
        return rows.filter(request_key=wish.request_key).first()
    if wish.signal_id is not None:
        return rows.filter(signal_id=wish.signal_id).first()
    return None


def _record(kind: str, position: Position, payload: dict[str, object], actor: str) -> None:
    journal.record(kind, f"position:{position.pk}", account_id=position.account_id, actor=actor, payload=payload)
