"""The one door for entries: signals, API and admin bring a wish, and get a position or an order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.db import IntegrityError, transaction

from apps.domain import fills, numbers, opening
from apps.domain.errors import Problem, Refused
from apps.domain.legs import Leg, resting
from apps.domain.orders import OrderKind, Purpose, TimeInForce, client_id
from apps.domain.sides import Side
from apps.domain.states import ENDED_ORDERS
from apps.market import calendars
from apps.market import selectors as market
from apps.market.models import Instrument, Quote
from apps.trading import bell, books, locks, selectors
from apps.trading.brokers.base import Abilities
from apps.trading.models import Account, Decision, Order, Position, Standing
from apps.trading.services import deciding, keys, ordering, placing, positions, switches
from apps.trading.services import legs as leg_rows
from apps.trading.services.positions import NoQuote, Opening
from apps.trading.services.restrictions import refusals

_PRICES: Final = {"limit_price": ordering.LIMITS, "stop_price": ordering.STOPS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A wish to enter and how: at the market unless told otherwise. Legs make it a bracket."""

    opening: Opening
    kind: OrderKind = OrderKind.MARKET
    tif: TimeInForce = TimeInForce.GTC
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    expires_at: datetime | None = None  # for good till date
    due_at: datetime | None = None  # taken back then unless it is filled


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """What a wish led to: a position at once, or an order that will lead to one; and whether this call made it."""

    position: Position | None
    order: Order | None
    created: bool


def enter(entry: Entry, *, now: datetime) -> Entered:
    """Open a position at once where the account fills by itself, else store an order for it; workers send that.

    Raises Refused with every problem found, and NoQuote when no fresh price is there; then nothing is stored but the
    decision that says why not. A repeated request key or signal enters nothing twice.
    """
    wish = entry.opening
    account = Account.objects.only("instant").get(pk=wish.account_id)
    if account.instant and entry.kind == OrderKind.MARKET:
        opened = positions.open_position(wish, now=now)
        return Entered(position=opened.position, order=None, created=opened.created)
    deciding.prepare({(wish.account_id, wish.instrument_id)}, now)
    try:
        with deciding.recorded(), transaction.atomic():
            return _enter(entry, now)
    except IntegrityError:
        # Another process used the key or the signal in this very moment: what it entered is the answer.
        earlier = _earlier(wish)
        if earlier is None:
            raise
        return earlier


def _enter(entry: Entry, now: datetime) -> Entered:
    wish = entry.opening
    account = locks.account(wish.account_id)
    earlier = _earlier(wish)
    if earlier is not None:
        return earlier
    instrument = Instrument.objects.get(pk=wish.instrument_id)
    strategy_id = deciding.strategies([wish.signal_id]).get(wish.signal_id or 0)
    asked = deciding.Asked(
        account=account,
        instrument=instrument,
        side=wish.side,
        quantity=wish.quantity,
        strategy_id=strategy_id,
        signal_id=wish.signal_id,
        request_key=wish.request_key,
        actor=wish.actor,
        source=wish.source,
    )
    with deciding.explaining(asked, now):
        found = [*_live_problems(account), *_standing_problems(account)]
        found += [*_trading_problems(asked), *_crowd_problems(wish, strategy_id)]
        asked.quote = quote = _quote(instrument, now, found)
        asked.price = price = _price(entry, account, quote, instrument)
        found += [*_word_problems(entry, instrument, keys.plugin_of(account.broker).abilities, now)]
        legs = tuple(resting(leg, wish.side, price) for leg in wish.legs)
        found += opening.problems(wish.side, wish.quantity, legs, price, positions.grid(instrument), now)
        if not any(problem.field == "quantity" for problem in found):
            found += _fund_problems(account, instrument, wish.quantity, price)
        sitting = deciding.Sitting(now)
        decision = sitting.decide(asked, found)
    return Entered(position=None, order=_store(entry, legs, decision, now), created=True)


def _store(entry: Entry, legs: Sequence[Leg], decision: Decision, now: datetime) -> Order:
    decision.save()
    wish, account = entry.opening, decision.account
    order = Order.objects.create(
        account=account,
        instrument=decision.instrument,
        decision=decision,
        purpose=Purpose.ENTRY,
        client_id=client_id(Purpose.ENTRY, decision.pk, 1, account_id=account.pk, opened_at=account.opened_at),
        buy=wish.side is Side.LONG,
        kind=entry.kind,
        tif=entry.tif,
        quantity=wish.quantity,
        limit_price=entry.limit_price,
        stop_price=entry.stop_price,
        legs=leg_rows.plain(legs),
        actor=wish.actor,
        request_key=wish.request_key,
        due_at=entry.due_at,
        expires_at=entry.expires_at,
    )
    ordering.record(ordering.Told.CREATED, order, actor=wish.actor, at=now.isoformat(), why=f"decision {decision.pk}")
    bell.ring_orders_after_commit()
    return order


def _earlier(wish: Opening) -> Entered | None:
    """Return what the same request or signal led to before: an order, or the position of a faster door."""
    orders = Order.objects.filter(account_id=wish.account_id).select_related("instrument", "position__instrument")
    places = Position.objects.filter(account_id=wish.account_id).select_related("instrument")
    if wish.request_key is not None:
        orders, places = orders.filter(request_key=wish.request_key), places.filter(request_key=wish.request_key)
    elif wish.signal_id is not None:
        orders, places = orders.filter(decision__signal_id=wish.signal_id), places.filter(signal_id=wish.signal_id)
    else:
        return None
    order, position = orders.order_by("pk").first(), places.first()
    if order is None and position is None:
        return None
    return Entered(position=position or (order.position if order else None), order=order, created=False)


# --- what may be wrong ----------------------------------------------------------------------------------------------
def _standing_problems(account: Account) -> Iterator[Problem]:
    """An account at a broker opens nothing before its books and its venue's agree."""
    if account.instant or account.broker == placing.PAPER:
        return
    standing = Standing.objects.filter(pk=account.pk).first()
    if standing is None or standing.clean_at is None:
        why = standing.trouble if standing and standing.trouble else "it has not been compared with its venue yet"
        yield _problem("account", account.name, f"only leaves positions: {why}", "wait for the next comparison")


def _live_problems(account: Account) -> Iterator[Problem]:
    """Real money is entered with two switches on, or not at all."""
    try:
        switches.live_allowed(account, leaving=False)
    except Refused as refused:
        yield from refused.problems


def _trading_problems(asked: deciding.Asked) -> list[Problem]:
    return refusals(
        selectors.restrictions(),
        account_id=asked.account.pk,
        instrument_id=asked.instrument.pk,
        strategy_id=asked.strategy_id,
    )


def _crowd_problems(wish: Opening, strategy_id: int | None) -> Iterator[Problem]:
    """Count lots, and orders that will lead to one, under the account's lock."""
    if wish.max_lots is None or strategy_id is None:
        return
    here = {"account_id": wish.account_id, "instrument_id": wish.instrument_id}
    held = selectors.lots().filter(**here, signal__strategy_id=strategy_id).count()
    coming = Order.objects.filter(**here, purpose=Purpose.ENTRY, decision__strategy_id=strategy_id, position=None)
    held += coming.exclude(status__in=ENDED_ORDERS).count()
    if held >= wish.max_lots:
        rule = f"the strategy holds {held} of at most {wish.max_lots} lots of this instrument"
        yield _problem("lots", str(held + 1), rule, "wait until one is left")


def _quote(instrument: Instrument, now: datetime, found: list[Problem]) -> Quote:
    if not instrument.enabled:
        found.append(_problem("instrument", instrument.symbol, "is switched off", "choose one that is enabled"))
    closed = calendars.refuse_closed(instrument, now)
    if closed is not None:
        found.append(closed)
    quote = market.quote_of(instrument.pk)
    if quote is not None and market.is_fresh(quote, now):
        return quote
    if found:
        raise Refused(*found)
    since = f"the last one came at {quote.heard_at:%Y-%m-%d %H:%M:%S} UTC" if quote else "none has come yet"
    raise NoQuote(f"There is no fresh price for {instrument.symbol}: {since}. Try again once its feed is live.")


def _price(entry: Entry, account: Account, quote: Quote, instrument: Instrument) -> Decimal:
    """Return the price the wish is judged at: its limit, else its stop, else what the market asks with slippage."""
    for price in (entry.limit_price, entry.stop_price):
        if price is not None and price.is_finite() and 0 < price < numbers.LIMIT:
            return price
    return positions.expected_price(entry.opening.side, quote, account, instrument)


def _word_problems(entry: Entry, instrument: Instrument, abilities: Abilities, now: datetime) -> Iterator[Problem]:
    if entry.kind not in abilities.kinds:
        known = ", ".join(sorted(abilities.kinds))
        yield _problem("kind", str(entry.kind), "is not known to this broker", f"use one of {known}")
    if entry.tif not in abilities.tifs and entry.kind != OrderKind.MARKET:
        known = ", ".join(sorted(abilities.tifs))
        yield _problem("tif", str(entry.tif), "is not known to this broker", f"use one of {known}")
    if entry.opening.side is Side.SHORT and not abilities.shorts:
        yield _problem("side", "short", "this broker sells only what is held", "use an account that can sell short")
    for field, kinds in _PRICES.items():
        yield from _price_problems(field, getattr(entry, field), entry.kind in kinds, entry.kind, instrument)
    yield from _time_problems(entry, now)


def _price_problems(
    field: str, value: Decimal | None, wanted: bool, kind: OrderKind, instrument: Instrument
) -> Iterator[Problem]:
    if wanted != (value is not None):
        rule = f"a {kind} order needs one" if wanted else f"a {kind} order has none"
        yield _problem(field, str(value), rule, "give a price" if wanted else "leave it out")
    elif value is not None and not (value.is_finite() and 0 < value < numbers.LIMIT):
        yield _problem(field, str(value)[:40], "must be a price greater than 0", "write it as plain digits")
    elif value is not None and not numbers.on_grid(value, instrument.tick_size):
        near = numbers.plain(numbers.floor_to(value, instrument.tick_size))
        yield _problem(field, numbers.plain(value), "must be a multiple of the tick size", f"use {near} for example")


def _time_problems(entry: Entry, now: datetime) -> Iterator[Problem]:
    if (entry.tif is TimeInForce.GTD) != (entry.expires_at is not None):
        rule = "goes with time in force gtd, and only with that"
        yield _problem("expires_at", str(entry.expires_at), rule, "give both or neither")
    for field in ("expires_at", "due_at"):
        value: datetime | None = getattr(entry, field)
        if value is not None and (value.tzinfo is None or value <= now):
            yield _problem(field, str(value), "must be in the future, with a time zone", "give a later instant")


def _fund_problems(account: Account, instrument: Instrument, quantity: Decimal, price: Decimal) -> Iterator[Problem]:
    if account.currency != instrument.quote_currency:
        rule = f"is quoted in {instrument.quote_currency}, the account holds {account.currency}"
        yield _problem("instrument", instrument.symbol, rule, "use an account in that currency")
        return
    free = books.buying_power(account)
    needed = numbers.money(price * quantity) + fills.fee(price, quantity, positions.costs(account))
    if needed > free:
        have, need = numbers.plain(numbers.money(free)), numbers.plain(needed)
        rule = f"needs {need} {account.currency}, the account has {have} free"
        yield _problem("quantity", numbers.plain(quantity), rule, "choose a smaller quantity or deposit more")


def _problem(field: str, value: str, rule: str, remedy: str) -> Problem:
    return Problem(field=field, value=value, rule=rule, remedy=remedy)
