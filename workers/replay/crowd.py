"""The positions a replay opens: seeded, so that one seed makes the same ones, and of every kind of way out."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.contrib.auth import get_user_model

from apps.domain import numbers
from apps.domain.legs import Leg, LegKind
from apps.domain.sides import Side
from apps.market.models import Instrument
from apps.market.services import quotes
from apps.market.services.quotes import QuoteRow
from apps.trading.models import Account
from apps.trading.services import accounts, positions
from apps.trading.services.positions import Opening
from workers.replay.recording import Listing

CHUNK: Final = 500  # openings in one transaction
NEAREST, FURTHEST = 0.0001, 0.01  # of the price: how far from it levels are
_MONEY: Final = Decimal(10) ** 14  # more than any crowd of the sizes below can bind


@dataclass(frozen=True, slots=True)
class _Market:
    instrument: Instrument
    price: Decimal


def list_instruments(listings: Mapping[str, Listing]) -> dict[str, int]:
    """Make an instrument per product with the steps of its decimals; return their ids by symbol."""
    found = {}
    for symbol, listing in listings.items():
        base, _, _ = symbol.partition("-")
        lot = Decimal(1).scaleb(-listing.size_decimals)
        made = Instrument.objects.create(
            symbol=symbol,
            base_currency=base[:12],
            quote_currency="USD",  # one account pays for everything here, whatever the venue's currency
            tick_size=Decimal(1).scaleb(-listing.price_decimals),
            lot_size=lot,
            min_quantity=lot,
        )
        found[symbol] = made.pk
    return found


def open_positions(listings: Mapping[str, Listing], count: int, *, seed: int, now: datetime) -> Iterator[int]:
    """Open `count` positions around the first prices and yield after each chunk how many there are."""
    account = _account(now)
    markets = [_Market(i, Decimal(listings[i.symbol].first_price)) for i in Instrument.objects.order_by("symbol")]
    chance = random.Random(seed)  # noqa: S311 - a crowd is to be the same again, not secret
    for start in range(0, count, CHUNK):
        _quote(markets, now)
        size = min(CHUNK, count - start)
        wishes = [_wish(account.pk, markets[(start + n) % len(markets)], chance) for n in range(size)]
        positions.open_many(wishes, now=now)
        yield start + size


def _account(now: datetime) -> Account:
    owner = get_user_model()._default_manager.create_user(username="replay")
    return accounts.open_account(owner_id=owner.pk, name="Replay", deposit=_MONEY, now=now)


def _quote(markets: Sequence[_Market], now: datetime) -> None:
    quotes.write(
        [
            QuoteRow(
                instrument_id=market.instrument.pk,
                price=str(market.price),
                bid=None,
                ask=None,
                low=float(market.price),
                high=float(market.price),
                trade_id=0,
                at=now,
                received_at=now,
                heard_at=now,
                feed="",
            )
            for market in markets
        ],
        epoch=0,
    )


def _wish(account_id: int, market: _Market, chance: random.Random) -> Opening:
    side = chance.choice((Side.LONG, Side.SHORT))
    lots = 4 * chance.randint(1, 50)  # a quarter is whole lots
    return Opening(
        account_id=account_id,
        instrument_id=market.instrument.pk,
        side=side,
        quantity=market.instrument.lot_size * lots,
        legs=tuple(_legs(_Levels(market, side, chance))),
        actor="replay",
    )


class _Levels:
    """Prices and distances on the grid, at a random distance from the first price."""

    def __init__(self, market: _Market, side: Side, chance: random.Random) -> None:
        self.price = market.price
        self._tick: Decimal = market.instrument.tick_size
        self._sign: int = side.sign
        self.chance = chance

    def distance(self) -> Decimal:
        """Return a distance of at least one step; near ones are as likely as far ones by ratio."""
        rate = NEAREST * (FURTHEST / NEAREST) ** self.chance.random()
        return max(numbers.floor_to(self.price * Decimal(repr(rate)), self._tick), self._tick)

    def behind(self) -> Decimal:
        """Return a price against the position."""
        return max(self.price - self.distance() * self._sign, self._tick)

    def ahead(self) -> Decimal:
        """Return a price in favour of the position."""
        return max(self.price + self.distance() * self._sign, self._tick)


def _legs(levels: _Levels) -> Iterator[Leg]:
    chance = levels.chance
    yield Leg(kind=LegKind.STOP_LOSS, level=levels.behind())
    if chance.random() < 0.7:
        part = chance.choice((Decimal(1), Decimal("0.5"), Decimal("0.25")))
        yield Leg(kind=LegKind.TAKE_PROFIT, level=levels.ahead(), fraction=part)
    if chance.random() < 0.3:
        yield _trail(levels)
    if chance.random() < 0.2:
        yield Leg(kind=LegKind.BREAK_EVEN, activation=levels.ahead(), level=levels.price)


def _trail(levels: _Levels) -> Leg:
    activation = levels.ahead() if levels.chance.random() < 0.3 else None
    if levels.chance.random() < 0.5:
        rate = Decimal(levels.chance.randint(1, 100)).scaleb(-4)
        return Leg(kind=LegKind.TRAILING_STOP, trail=rate, trail_is_rate=True, activation=activation)
    return Leg(kind=LegKind.TRAILING_STOP, trail=levels.distance(), activation=activation)
