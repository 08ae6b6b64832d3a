"""Opening positions and amending their ways out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from django.db import IntegrityError, transaction

from apps.domain import fills, numbers, opening
from apps.domain.errors import Problem, Refused, Unavailable
from apps.domain.legs import Leg, LegKind, resting
from apps.domain.sides import Side
from apps.domain.states import LegStatus, PositionStatus
from apps.journal import services as journal
from apps.market import calendars
from apps.market import selectors as market
from apps.market.models import Instrument, Quote
from apps.strategies.models import Signal
from apps.trading import bell, books, locks, selectors
from apps.trading.models import Account, ExitLeg, Fill, LedgerEntry, LevelChange, Position, Restriction, Watermark
from apps.trading.services import facts
from apps.trading.services.restrictions import refusals


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
    max_lots: int | None = None  # of the signal's strategy and the instrument in this account, this one included


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The position an opening led to, and whether it was this call that opened it."""

    position: Position
    created: bool


def open_position(wish: Opening, *, now: datetime) -> Opened:
    """Open a position on paper at the present quote plus slippage, with its exit legs, fill, ledger line and event.

    Raises Refused with every problem found, and NoQuote when no fresh price is there; then nothing is stored.
    """
    return open_many([wish], now=now)[0]


def open_many(wishes: Sequence[Opening], *, now: datetime) -> list[Opened]:
    """Open several positions in one transaction, all or none; otherwise as `open_position`."""
    try:
        with transaction.atomic():
            return _open(wishes, now)
    except IntegrityError:
        # Another process used one of the keys or signals in this very moment: what it opened is the answer.
        earlier = [_earlier(wish) for wish in wishes]
        if not all(earlier):
            raise
        return [Opened(position=position, created=False) for position in earlier if position]


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
        wanted = [resting(leg, side, position.entry_price) for group in legs.values() for leg in group]
        found = opening.problems(side, position.quantity, wanted, price, grid, now)
        if found:
            raise Refused(*found)
        live = position.legs.filter(status=LegStatus.LIVE)
        live.filter(kind__in=list(legs)).update(status=LegStatus.CANCELLED)
        _add_legs([(position, wanted, price)], now)
        position.version += 1
        position.save(update_fields=["version"])
        LevelChange.objects.create(position_id=position.pk, shard=position.instrument.shard)
        payload = facts.of_position(position, list(live.all()))
        _record("position.amended", position, payload, actor)
        bell.announce_after_commit()
    return position


def expected_price(side: Side, quote: Quote, account: Account, instrument: Instrument) -> Decimal:
    """Return the price that an opening at this quote is filled at."""
    return fills.slipped(side.sign, _reference(side, quote), _costs(account), instrument.tick_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """An opening that passed every check, priced."""

    wish: Opening
    account: Account
    instrument: Instrument
    reference: Decimal  # what the market asks for entering
    price: Decimal  # the same with slippage
    fee: Decimal
    line: fills.Line


def _open(wishes: Sequence[Opening], now: datetime) -> list[Opened]:
    accounts = {key: locks.account(key) for key in sorted({wish.account_id for wish in wishes})}
    free = {key: books.buying_power(account) for key, account in accounts.items()}
    instruments = Instrument.objects.in_bulk({wish.instrument_id for wish in wishes})
    quotes = market.quotes(list(instruments))
    restrictions = selectors.restrictions()
    answers: dict[int, Position] = {}
    entries: dict[int, _Entry] = {}
    for index, wish in enumerate(wishes):
        earlier = _earlier(wish)
        if earlier is not None:
            answers[index] = earlier
            continue
        _refuse_restricted(restrictions, wish)
        _refuse_crowded(wish)
        instrument = instruments[wish.instrument_id]
        account = accounts[wish.account_id]
        reference = _reference(wish.side, _fresh(instrument, quotes, now))
        price = fills.slipped(wish.side.sign, reference, _costs(account), instrument.tick_size)
        legs = tuple(resting(leg, wish.side, price) for leg in wish.legs)
        found = opening.problems(wish.side, wish.quantity, legs, reference, _grid(instrument), now)
        if any(problem.field == "quantity" for problem in found):
            raise Refused(*found)  # a quantity beyond all measure costs nothing that could be said
        entry = _entry(replace(wish, legs=legs), account, instrument, reference, price)
        found += _funds(entry, free[wish.account_id])
        if found:
            raise Refused(*found)
        free[wish.account_id] -= abs(entry.line.holdings) + entry.fee
        entries[index] = entry
    stored = dict(zip(entries, _store(list(entries.values()), now), strict=True))
    return [
        Opened(position=stored[index], created=True)
        if index in stored
        else Opened(position=answers[index], created=False)
        for index in range(len(wishes))
    ]


def _refuse_restricted(restrictions: Sequence[Restriction], wish: Opening) -> None:
    if not restrictions:
        return
    signals = Signal.objects.filter(pk=wish.signal_id) if wish.signal_id else Signal.objects.none()
    strategy_id = signals.values_list("strategy_id", flat=True).first()
    problems = refusals(
        restrictions, account_id=wish.account_id, instrument_id=wish.instrument_id, strategy_id=strategy_id
    )
    if problems:
        raise Refused(*problems)


def _refuse_crowded(wish: Opening) -> None:
    """Count the lots under the account's lock: two signals that come at once cannot both take the last place."""
    if wish.max_lots is None or wish.signal_id is None:
        return
    of_strategy = Signal.objects.filter(pk=wish.signal_id).values("strategy_id")
    lots = selectors.lots().filter(account_id=wish.account_id, instrument_id=wish.instrument_id)
    held = lots.filter(signal__strategy_id__in=of_strategy).count()
    if held >= wish.max_lots:
        rule = f"the strategy holds {held} of at most {wish.max_lots} lots of this instrument"
        raise Refused(Problem(field="lots", value=str(held + 1), rule=rule, remedy="wait until one is left"))


def _entry(wish: Opening, account: Account, instrument: Instrument, reference: Decimal, price: Decimal) -> _Entry:
    fee = fills.fee(price, wish.quantity, _costs(account))
    line = fills.opening(wish.side.sign, price, wish.quantity, fee)
    return _Entry(
        wish=wish, account=account, instrument=instrument, reference=reference, price=price, fee=fee, line=line
    )


def _store(entries: Sequence[_Entry], now: datetime) -> list[Position]:
    positions = Position.objects.bulk_create(_position(entry, now) for entry in entries)
    pairs = list(zip(positions, entries, strict=True))
    booked = Fill.objects.bulk_create(_fill(position, entry, now) for position, entry in pairs)
    LedgerEntry.objects.bulk_create(_ledger(fill, entry, now) for fill, entry in zip(booked, entries, strict=True))
    legs = _add_legs([(position, entry.wish.legs, entry.reference) for position, entry in pairs], now)
    LevelChange.objects.bulk_create(
        LevelChange(position_id=position.pk, shard=entry.instrument.shard) for position, entry in pairs
    )
    journal.record_many(
        [
            journal.Fact(
                kind="position.created",
                subject=f"position:{position.pk}",
                account_id=position.account_id,
                actor=entry.wish.actor,
                payload=facts.of_position(position, legs[position.pk]),
            )
            for position, entry in pairs
        ]
    )
    bell.announce_after_commit()
    return positions


def _position(entry: _Entry, now: datetime) -> Position:
    wish = entry.wish
    return Position(
        account=entry.account,
        instrument=entry.instrument,
        side=wish.side,
        quantity=wish.quantity,
        remaining=wish.quantity,
        cost=abs(entry.line.holdings),
        entry_price=entry.price,
        opened_at=now,
        fees=entry.fee,
        signal_id=wish.signal_id,
        request_key=wish.request_key,
    )


def _fill(position: Position, entry: _Entry, now: datetime) -> Fill:
    return Fill(
        account=entry.account,
        instrument=entry.instrument,
        position=position,
        client_id=f"p{position.pk}-open-1",
        buy=entry.wish.side is Side.LONG,
        quantity=entry.wish.quantity,
        price=entry.price,
        fee=entry.fee,
        at=now,
    )


def _ledger(fill: Fill, entry: _Entry, now: datetime) -> LedgerEntry:
    line = entry.line
    return LedgerEntry(
        account=entry.account,
        currency=entry.instrument.quote_currency,
        fill=fill,
        kind="open",
        cash=line.cash,
        holdings=line.holdings,
        fees=line.fees,
        pnl=line.pnl,
        at=now,
    )


def _add_legs(groups: Sequence[tuple[Position, Sequence[Leg], Decimal]], now: datetime) -> dict[int, list[ExitLeg]]:
    """Store legs; one that follows the price starts from the market price, asleep where it has an activation."""
    wanted = [(position, leg, price) for position, legs, price in groups for leg in legs]
    rows = ExitLeg.objects.bulk_create(_leg_row(position, leg, now) for position, leg, _ in wanted)
    Watermark.objects.bulk_create(
        Watermark(leg=row, peak=price if row.activation is None else None)
        for row, (_, _, price) in zip(rows, wanted, strict=True)
        if row.kind in (LegKind.TRAILING_STOP, LegKind.BREAK_EVEN)
    )
    found: dict[int, list[ExitLeg]] = {position.pk: [] for position, _, _ in groups}
    for row in rows:
        found[row.position_id].append(row)
    return found


def _leg_row(position: Position, leg: Leg, now: datetime) -> ExitLeg:
    return ExitLeg(
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


def _fresh(instrument: Instrument, quotes: Mapping[int, Quote], now: datetime) -> Quote:
    if not instrument.enabled:
        problem = Problem(
            field="instrument", value=instrument.symbol, rule="is switched off", remedy="choose one that is enabled"
        )
        raise Refused(problem)
    closed = calendars.refuse_closed(instrument, now)
    if closed is not None:
        raise Refused(closed)
    quote = quotes.get(instrument.pk)
    if quote is None or not market.is_fresh(quote, now):
        since = f"the last one came at {quote.heard_at:%Y-%m-%d %H:%M:%S} UTC" if quote else "none has come yet"
        raise NoQuote(f"There is no fresh price for {instrument.symbol}: {since}. Try again once its feed is live.")
    return quote


def _reference(side: Side, quote: Quote) -> Decimal:
    """Return what the market asks for entering: a buy pays the ask, a sale gets the bid."""
    best: Decimal | None = quote.ask if side is Side.LONG else quote.bid
    return quote.price if best is None else best


def _funds(entry: _Entry, free: Decimal) -> list[Problem]:
    account, instrument = entry.account, entry.instrument
    needed = abs(entry.line.holdings) + entry.fee
    if account.currency != instrument.quote_currency:
        rule = f"is quoted in {instrument.quote_currency}, the account holds {account.currency}"
        remedy = "use an account in that currency"
        return [Problem(field="instrument", value=instrument.symbol, rule=rule, remedy=remedy)]
    if needed <= free:
        return []
    value = numbers.plain(entry.wish.quantity)
    have, need = numbers.plain(numbers.money(free)), numbers.plain(numbers.money(needed))
    rule = f"needs {need} {account.currency}, the account has {have} free"
    return [Problem(field="quantity", value=value, rule=rule, remedy="choose a smaller quantity or deposit more")]


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
