"""A day of a simulated market traded on paper in seconds: real services on a clock that jumps from tick to tick.

Each tick goes through the listener's own watcher, each crossing becomes an exit and is executed, each closed bar is
stored, shown to the strategies and followed. Only the clock is not real.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from apps.domain.ticks import Tick
from apps.market import selectors as market
from apps.market.models import Instrument
from apps.market.services import quotes
from apps.market.services.quotes import QuoteRow
from apps.market.store import Timeframe, candles, partitions, ticks
from apps.market.store.tick_rows import TickRow
from apps.simulator import products
from apps.simulator.market import Walk
from apps.strategies import services as strategies
from apps.trading.services import allocations, exits
from apps.trading.services.exits import Crossing
from tests import factories
from workers.listener.emit import Emitter
from workers.listener.leader import Leadership
from workers.listener.levels import Levels
from workers.listener.watch import Watcher

START = datetime(2026, 2, 10, tzinfo=UTC)
SECONDS_PER_TICK = 10.0
LOOK = timedelta(seconds=1.5)  # after the end of a bar the strategies are asked: a second to settle, half until asked


class Print(NamedTuple):
    """One trade with the book beside it."""

    at: datetime
    price: str
    bid: str
    ask: str
    size: str
    number: int


def prints(symbol: str, *, seed: int, until: datetime) -> Iterator[Print]:
    """Yield the trades of a day as the simulated exchange would make them."""
    product = next(one for one in products.DEFAULT if one.id == symbol)
    walk = Walk(product, seed=seed, rate=1 / SECONDS_PER_TICK)
    chance = random.Random(seed)
    at, number = START, 0
    while at < until:
        at += timedelta(microseconds=round(chance.expovariate(1 / SECONDS_PER_TICK) * 1e6) + 1)
        number += 1
        _, price, _, size, _, bid, _, ask, *_ = walk.next()
        yield Print(at, price, bid, ask, size, number)


@dataclass
class TradingDay:
    """One instrument over one day; `asleep` are the bars after which nobody asks the strategies."""

    instrument: Instrument
    bar: timedelta
    bars: int
    seed: int = 1
    asleep: Sequence[int] = ()
    prints: list[Print] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fence = factories.lead()
        leadership = Leadership(factories.ROLE)
        self.watcher = Watcher(self._record)
        self.watcher.follow(self.instrument.symbol, self.instrument.pk)
        self.levels = Levels(0, self.watcher, Emitter(leadership, lambda: None))
        self.levels.start()
        self.crossed = 0
        partitions.ahead(market.market_store(), START)

    def trade(self) -> None:
        """Live through the day, and a few prints of the next bar."""
        end = START + self.bars * self.bar
        asked, fresh = 0, []
        for one in prints(self.instrument.symbol, seed=self.seed, until=end + self.bar / 2):
            while asked < self.bars and one.at > START + (asked + 1) * self.bar + LOOK:
                asked += 1
                self._close(asked - 1, fresh, START + asked * self.bar + LOOK)
                fresh = []
            self.prints.append(one)
            fresh.append(one)
            self._tick(one)
        self._store(fresh, end + self.bar / 2)

    def quote(self, at: datetime) -> Print:
        """Return the last print at or before an instant."""
        return next(one for one in reversed(self.prints) if one.at <= at)

    def first(self, at: datetime) -> Print:
        """Return the first print at or after an instant: the open of the bar that begins then."""
        return next(one for one in self.prints if one.at >= at)

    def _tick(self, one: Print) -> None:
        before = self.crossed
        self.watcher.tick(self._as_tick(one))
        if self.crossed > before:
            self._write_quote(one, one.at)
            self._drain()

    def _close(self, number: int, fresh: Sequence[Print], now: datetime) -> None:
        self._store(fresh, now)
        if number in self.asleep:
            return
        if self.prints:
            self._write_quote(self.prints[-1], now)
        strategies.run_due(now, deliver=lambda ids: allocations.follow(ids, now))
        assert strategies.settle(30)
        self._drain()

    def _drain(self) -> None:
        exits.drain(worker="day", limit=100)
        self.levels.poll()

    def _store(self, fresh: Sequence[Print], now: datetime) -> None:
        """Keep ticks and candles as the recorder and the timetable do, once a bar and not every minute."""
        kept, ids, since = market.market_store(), [self.instrument.pk], now - 2 * self.bar
        ticks.write(kept, [self._as_row(one) for one in fresh])
        candles.roll_up(kept, ids, Timeframe.MINUTE, since, now)
        candles.roll_up(kept, ids, Timeframe.FIVE_MINUTES, since, now, source=Timeframe.MINUTE)

    def _record(self, crossings: Sequence[Crossing]) -> None:
        self.crossed += len(exits.record_crossings(crossings, fence=self.fence, source="listener"))

    def _write_quote(self, one: Print, heard_at: datetime) -> None:
        row = QuoteRow(
            instrument_id=self.instrument.pk,
            price=one.price,
            bid=one.bid,
            ask=one.ask,
            low=float(one.price),
            high=float(one.price),
            trade_id=one.number,
            at=one.at,
            received_at=one.at,
            heard_at=heard_at,
            feed="coinbase",
        )
        quotes.write([row], epoch=self.fence.epoch)

    def _as_tick(self, one: Print) -> Tick:
        return Tick(
            symbol=self.instrument.symbol,
            price=float(one.price),
            text=one.price,
            trade_id=one.number,
            sequence=one.number,
            size=one.size,
            side="buy",
            bid=one.bid,
            ask=one.ask,
            venue_time=one.at.isoformat(),
            received_ns=round(one.at.timestamp() * 1e6) * 1000,
        )

    def _as_row(self, one: Print) -> TickRow:
        return TickRow(
            instrument_id=self.instrument.pk,
            at=one.at,
            received_at=one.at,
            trade_id=one.number,
            price=one.price,
            size=one.size,
            side="buy",
            bid=one.bid,
            ask=one.ask,
            refilled=False,
        )


def make_instrument(symbol: str) -> Instrument:
    """Make an instrument with the steps that the simulated exchange lists."""
    product = next(one for one in products.DEFAULT if one.id == symbol)
    base, _, quote = symbol.partition("-")
    return Instrument.objects.create(
        symbol=symbol,
        base_currency=base,
        quote_currency=quote,
        tick_size=Decimal(str(product.quote_increment)),
        lot_size=Decimal(str(product.base_increment)),
        min_quantity=Decimal(str(product.base_increment)),
    )
