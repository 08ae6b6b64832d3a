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
from apps.trading import bell, books, locks, selectors
from apps.trading.models import Account, Decision, Fill, LedgerEntry, LevelChange, Position, Restriction
from apps.trading.services import deciding, facts
from apps.trading.services import legs as leg_rows
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
    source: str = ""  # who brings it: signal, api, admin


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The position an opening led to, and whether it was this call that opened it."""

    position: Position
    created: bool


def open_position(wish: Opening, *, now: datetime) -> Opened:
    """Open a position on paper at the present quote plus slippage, with its exit legs, fill, ledger line and event.

    Raises Refused with every problem found, and NoQuote when no fresh price is there; then nothing is stored but the
    decision that says why not.
    """
    return open_many([wish], now=now)[0]


def open_many(wishes: Sequence[Opening], *, now: datetime) -> list[Opened]:
    """Open several positions in one transaction, all or none; otherwise as `open_position`."""
    deciding.prepare({(wish.account_id, wish.instrument_id) for wish in wishes}, now)
    try:
        with deciding.recorded(), transaction.atomic():
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
        side = Side(position.side)
        wanted = [resting(leg, side, position.entry_price) for group in legs.values() for leg in group]
        found = opening.problems(side, position.quantity, wanted, price, grid(position.instrument), now)
        if found:
            raise Refused(*found)
        live = position.legs.filter(status=LegStatus.LIVE)
        live.filter(kind__in=list(legs)).update(status=LegStatus.CANCELLED)
        leg_rows.add([(position, wanted, price)], now)
        position.version += 1
        position.save(update_fields=["version"])
        LevelChange.objects.create(position_id=position.pk, shard=position.instrument.shard)
        payload = facts.of_position(position, list(live.all()))
        _record("position.amended", position, payload, actor)
        bell.announce_after_commit()
    return position


def expected_price(side: Side, quote: Quote, account: Account, instrument: Instrument) -> Decimal:
    """Return the price that an opening at this quote is filled at."""
    return fills.slipped(side.sign, _reference(side, quote), costs(account), instrument.tick_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """An opening that passed every check, priced."""

    wish: Opening
    decision: Decision  # approved, stored with the position
    account: Account
    instrument: Instrument
    reference: Decimal  # what the market asks for entering
    price: Decimal  # the same with slippage
    fee: Decimal
    line: fills.Line


def _open(wishes: Sequence[Opening], now: datetime) -> list[Opened]:
    accounts = {key: locks.account(key) for key in sorted({wish.account_id for wish in wishes})}
    room = _Room(
        now=now,
        free={key: books.buying_power(account) for key, account in accounts.items()},
        restrictions=selectors.restrictions(),
        sitting=deciding.Sitting(now),
    )
    instruments = Instrument.objects.in_bulk({wish.instrument_id for wish in wishes})
    quotes = market.quotes(list(instruments))
    strategies = deciding.strategies([wish.signal_id for wish in wishes])
    answers: dict[int, Position] = {}
    entries: dict[int, _Entry] = {}
    for index, wish in enumerate(wishes):
        earlier = _earlier(wish)
        if earlier is not None:
            answers[index] = earlier
            continue
        asked = _asked(wish, accounts[wish.account_id], instruments[wish.instrument_id], strategies)
        with deciding.explaining(asked, now):
            entries[index] = _granted(wish, asked, quotes, room)
    stored = dict(zip(entries, _store(list(entries.values()), now), strict=True))
    return [
        Opened(position=stored[index], created=True)
        if index in stored
        else Opened(position=answers[index], created=False)
        for index in range(len(wishes))
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    """What the openings of one transaction use up together."""

    now: datetime
    free: dict[int, Decimal]  # money by account
    restrictions: Sequence[Restriction]
    sitting: deciding.Sitting


def _asked(wish: Opening, account: Account, instrument: Instrument, strategies: Mapping[int, int]) -> deciding.Asked:
    return deciding.Asked(
        account=account,
        instrument=instrument,
        side=wish.side,
        quantity=wish.quantity,
        strategy_id=None if wish.signal_id is None else strategies.get(wish.signal_id),
        signal_id=wish.signal_id,
        request_key=wish.request_key,
        actor=wish.actor,
        source=wish.source,
    )


def _granted(wish: Opening, asked: deciding.Asked, quotes: Mapping[int, Quote], room: _Room) -> _Entry:
    """Price a wish, judge it, and take what it needs from the room. Raises Refused with every problem found."""
    account, instrument = asked.account, asked.instrument
    _refuse_restricted(room.restrictions, asked)
    _refuse_crowded(wish, asked.strategy_id)
    asked.quote = _fresh(instrument, quotes, room.now)
    reference = _reference(wish.side, asked.quote)
    asked.price = price = fills.slipped(wish.side.sign, reference, costs(account), instrument.tick_size)
    legs = tuple(resting(leg, wish.side, price) for leg in wish.legs)
    found = opening.problems(wish.side, wish.quantity, legs, reference, grid(instrument), room.now)
    if any(problem.field == "quantity" for problem in found):
        raise Refused(*found)  # a quantity beyond all measure costs nothing that could be said
    fee = fills.fee(price, wish.quantity, costs(account))
    line = fills.opening(wish.side.sign, price, wish.quantity, fee)
    found += _funds(asked, line, room.free[account.pk])
    decision = room.sitting.decide(asked, found)
    room.free[account.pk] -= abs(line.holdings) + fee
    return _Entry(
        wish=replace(wish, legs=legs),
        decision=decision,
        account=account,
        instrument=instrument,
        reference=reference,
        price=price,
        fee=fee,
        line=line,
    )


def _refuse_restricted(restrictions: Sequence[Restriction], asked: deciding.Asked) -> None:
    if not restrictions:
        return
    problems = refusals(
        restrictions,
        account_id=asked.account.pk,
        instrument_id=asked.instrument.pk,
        strategy_id=asked.strategy_id,
    )
    if problems:
        raise Refused(*problems)


def _refuse_crowded(wish: Opening, strategy_id: int | None) -> None:
    """Count the lots under the account's lock: two signals that come at once cannot both take the last place."""
    if wish.max_lots is None or strategy_id is None:
        return
    lots = selectors.lots().filter(account_id=wish.account_id, instrument_id=wish.instrument_id)
    held = lots.filter(signal__strategy_id=strategy_id).count()
    if held >= wish.max_lots:
        rule = f"the strategy holds {held} of at most {wish.max_lots} lots of this instrument"
        raise Refused(Problem(field="lots", value=str(held + 1), rule=rule, remedy="wait until one is left"))


def _store(entries: Sequence[_Entry], now: datetime) -> list[Position]:
    positions = Position.objects.bulk_create(_position(entry, now) for entry in entries)
    pairs = list(zip(positions, entries, strict=True))
    for position, entry in pairs:
        entry.decision.position = position
    Decision.objects.bulk_create(entry.decision for entry in entries)
    booked = Fill.objects.bulk_create(_fill(position, entry, now) for position, entry in pairs)
    LedgerEntry.objects.bulk_create(_ledger(fill, entry, now) for fill, entry in zip(booked, entries, strict=True))
    legs = leg_rows.add([(position, entry.wish.legs, entry.reference) for position, entry in pairs], now)
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


def _funds(asked: deciding.Asked, line: fills.Line, free: Decimal) -> list[Problem]:
    account, instrument = asked.account, asked.instrument
    needed = abs(line.holdings) + line.fees
    if account.currency != instrument.quote_currency:
        rule = f"is quoted in {instrument.quote_currency}, the account holds {account.currency}"
        remedy = "use an account in that currency"
        return [Problem(field="instrument", value=instrument.symbol, rule=rule, remedy=remedy)]
    if needed <= free:
        return []
    value = numbers.plain(asked.quantity)
    have, need = numbers.plain(numbers.money(free)), numbers.plain(numbers.money(needed))
    rule = f"needs {need} {account.currency}, the account has {have} free"
    return [Problem(field="quantity", value=value, rule=rule, remedy="choose a smaller quantity or deposit more")]


def costs(account: Account) -> fills.Costs:
    """Return what trading costs on an account, as its own settings say."""
    return fills.Costs(
        fee_rate=account.fee_rate,
        fee_fixed=account.fee_fixed,
        slippage_rate=account.slippage_rate,
        slippage_fixed=account.slippage_fixed,
    )


def grid(instrument: Instrument) -> opening.Grid:
    """Return the steps and limits of an instrument."""
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
