"""Steady load: positions with stops and targets near the price, opened without pause through the services."""

import random
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db import Error, connection

from apps.domain.errors import Refused
from apps.domain.legs import Leg, LegKind
from apps.domain.sides import Side
from apps.market.models import Instrument, Quote
from apps.trading.models import Account
from apps.trading.services import positions
from apps.trading.services.positions import NoQuote, Opening

NEAREST, FURTHEST = 0.0003, 0.004  # of the price


class Crowd(threading.Thread):
    """Opens a handful of positions again and again; a database that is away costs openings and nothing else."""

    def __init__(self, account: Account, instruments: Sequence[Instrument], *, size: int = 6, every: float = 0.1):
        super().__init__(name="crowd", daemon=True)
        self.opened = 0
        self.refusal = ""
        self.failed: list[BaseException] = []
        self._account_id = account.pk
        self._instruments = instruments
        self._size = size
        self._every = every
        self._chance = random.Random(20)
        self._stopping = threading.Event()

    def run(self) -> None:
        try:
            while not self._stopping.wait(self._every):
                self._open()
        except BaseException as error:
            self.failed.append(error)
            raise
        finally:
            connection.close()

    def stop(self) -> None:
        self._stopping.set()
        self.join(20)
        assert not self.failed, self.failed

    def _open(self) -> None:
        try:
            quotes = Quote.objects.in_bulk([instrument.pk for instrument in self._instruments])
            known = [instrument for instrument in self._instruments if instrument.pk in quotes]
            if known:
                wishes = [self._wish(quotes[i.pk], i) for i in self._chance.choices(known, k=self._size)]
                positions.open_many(wishes, now=datetime.now(UTC))
                self.opened += len(wishes)
        except (NoQuote, Refused) as error:
            self.refusal = str(error)  # no fresh price, or one that moved in this very moment
        except Error:
            connection.close()
            time.sleep(0.2)

    def _wish(self, quote: Quote, instrument: Instrument) -> Opening:
        side = self._chance.choice((Side.LONG, Side.SHORT))
        return Opening(
            account_id=self._account_id,
            instrument_id=instrument.pk,
            side=side,
            quantity=Decimal("0.01"),
            legs=tuple(self._legs(quote.price, side)),
        )

    def _legs(self, price: Decimal, side: Side) -> list[Leg]:
        legs = [
            Leg(kind=LegKind.STOP_LOSS, level=self._beside(price, -side.sign)),
            Leg(kind=LegKind.TAKE_PROFIT, level=self._beside(price, side.sign)),
        ]
        if self._chance.random() < 0.2:
            rate = Decimal(self._chance.randint(5, 30)).scaleb(-4)
            legs.append(Leg(kind=LegKind.TRAILING_STOP, trail=rate, trail_is_rate=True))
        if self._chance.random() < 0.05:
            due = datetime.now(UTC) + timedelta(seconds=self._chance.randint(2, 6))
            legs.append(Leg(kind=LegKind.TIME_STOP, due_at=due))
        return legs

    def _beside(self, price: Decimal, sign: int) -> Decimal:
        rate = NEAREST * (FURTHEST / NEAREST) ** self._chance.random()
        return (price * (1 + sign * Decimal(repr(rate)))).quantize(Decimal("0.01")) + sign * Decimal("0.02")
