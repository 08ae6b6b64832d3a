"""Recorded ticks through decoder, gate, watcher, emitter and drain, against a model that shares no code with them.

The model below knows the rules from DESIGN.md alone and works on whole numbers: prices in cents, quantities in lots,
rates in hundred-thousandths. It looks at every leg of every position on every tick.
"""

import gzip
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_django import Settings

from apps.domain.legs import Leg, LegKind
from apps.domain.sides import Side
from apps.market.feeds.base import FeedConfig
from apps.market.feeds.coinbase import CoinbaseFeed
from apps.market.feeds.switch import Switchboard
from apps.market.models import Instrument, Quote
from apps.market.store import Store
from apps.ops import invariants
from apps.simulator import products, record
from apps.trading.models import Account, Exit, ExitLeg, Position
from apps.trading.services import exits, positions
from apps.trading.services.positions import Opening
from tests import factories
from workers.listener.emit import Emitter
from workers.listener.flush import QuoteFlusher
from workers.listener.leader import Leadership
from workers.listener.levels import Levels
from workers.listener.sources import Source
from workers.listener.tape import from_ns
from workers.listener.watch import Watcher

RECORDED = Path(__file__).resolve().parents[3] / "shared/data/ticks/btc-usd_ticker_from_binance_usdm_20240808.jsonl.gz"
SYMBOL = "BTC-USD"
POSITIONS, CHUNKS = 5000, 25
LOT = Decimal("0.001")
FEE, SLIPPAGE = Decimal("0.001"), Decimal("0.0001")
LONG, SHORT = 1, -1

Prices = NDArray[np.int64]


# --- the model ------------------------------------------------------------------------------------------------------
STOP, BREAK_EVEN, TRAIL, TARGET = range(4)  # in the order in which legs of one tick go: what protects comes first


@dataclass
class Way:
    """One way out: prices in cents, the part in hundred-millionths of what was opened, a rate in 1e-5."""

    kind: int
    part: int = 10**8
    level: int = 0
    activation: int = 0
    trail: int = 0
    rate: int = 0

    def first(self, sign: int, start: int, ticks: Prices) -> int | None:
        """Return the index of the tick that triggers, when prices count from just after `start` was the price."""
        if self.kind == STOP:
            return _at_or_beyond(ticks, self.level, -sign)
        if self.kind == TARGET:
            return _at_or_beyond(ticks, self.level, sign)
        woken = 0
        if self.activation:
            found = _at_or_beyond(ticks, self.activation, sign)
            if found is None:
                return None
            woken, start = found, int(ticks[found])
        after = self._sleepless(sign, start, ticks[woken:])
        return None if after is None else woken + after

    def _sleepless(self, sign: int, start: int, ticks: Prices) -> int | None:
        if self.kind == BREAK_EVEN:
            return _at_or_beyond(ticks, self.level, -sign)
        best = (
            np.maximum.accumulate(np.maximum(ticks, start))
            if sign > 0
            else np.minimum.accumulate(np.minimum(ticks, start))
        )
        if self.rate:
            hit = (ticks - best) * sign * 10**5 <= -best * self.rate
        else:
            hit = (ticks - best) * sign <= -self.trail
        return _first(hit)


def _at_or_beyond(ticks: Prices, level: int, direction: int) -> int | None:
    return _first(ticks >= level if direction > 0 else ticks <= level)


def _first(hit: NDArray[np.bool_]) -> int | None:
    index = int(np.argmax(hit)) if len(hit) else 0
    return index if len(hit) and hit[index] else None


@dataclass
class Close:
    """One execution: which tick, which way, how many lots, at which price."""

    tick: int
    way: int
    lots: int
    cents: int


@dataclass
class Lot:
    """One position as the model sees it."""

    sign: int
    lots: int
    reference: int  # what the market asked for entering
    ways: list[Way]
    opened_after: int  # the index of the last tick before it was opened
    closes: list[Close] = field(default_factory=list)

    @property
    def entry(self) -> int:
        return slip(self.reference, self.sign)

    @property
    def left(self) -> int:
        return self.lots - sum(close.lots for close in self.closes)

    def run(self, ticks: Prices) -> None:
        since = self.opened_after + 1
        found = []
        for number, way in enumerate(self.ways):
            index = way.first(self.sign, self.reference, ticks[since:])
            if index is not None:
                found.append((since + index, way.kind, number))
        for tick, _, number in sorted(found):
            if self.left:
                lots = self.take(self.ways[number].part)
                self.closes.append(Close(tick, number, lots, slip(int(ticks[tick]), -self.sign)))

    def take(self, part: int) -> int:
        return min(max(self.lots * part // 10**8, 1), self.left)


def slip(cents: int, direction: int) -> int:
    """Make a price worse by a ten-thousandth, to the next cent against the trader."""
    return -(-cents * 10_001 // 10_000) if direction > 0 else cents * 9_999 // 10_000


# --- a mixed crowd --------------------------------------------------------------------------------------------------


def make_lot(chance: random.Random, bid: int, ask: int, after: int) -> Lot:
    """Make up a position with one to five legs at distances the recording will partly reach."""
    sign = chance.choice((LONG, SHORT))
    reference = ask if sign > 0 else bid
    lots = chance.choice((1, 2, 3, 7, 10, 33, 100))

    def near() -> int:
        return chance.randint(1, 3_000) if chance.random() < 0.3 else chance.randint(500, 15_000)

    kinds = {
        "stop": [Way(STOP, level=reference - sign * near())],
        "target": [Way(TARGET, level=reference + sign * near())],
        "both": [Way(STOP, level=reference - sign * near()), Way(TARGET, level=reference + sign * near())],
        "trail": [Way(TRAIL, trail=near())],
        "rate": [Way(TRAIL, rate=chance.randint(2, 200))],
        "woken trail": [
            Way(TRAIL, trail=near(), activation=reference + sign * near()),
            Way(STOP, level=reference - sign * near()),
        ],
        "woken rate": [Way(TRAIL, rate=chance.randint(2, 200), activation=reference + sign * near())],
        "break-even": _break_even(reference, sign, near(), near(), near()),
        "parts": _parts(chance, reference, sign, near),
    }
    ways = kinds[chance.choice(list(kinds))]
    return Lot(sign, lots, reference, [way for way in ways if _enough(way, lots)], after)


def _break_even(reference: int, sign: int, far: int, back: int, risk: int) -> list[Way]:
    activation = reference + sign * (far + 1)
    level = max(activation * sign - back, reference * sign - 2_000) * sign
    ways = [Way(STOP, level=reference - sign * risk)]
    if (activation - level) * sign > 0:
        ways.append(Way(BREAK_EVEN, level=level, activation=activation))
    return ways


def _parts(chance: random.Random, reference: int, sign: int, near: Callable[[], int]) -> list[Way]:
    thirds = [chance.choice((33_333_333, 25_000_000, 10_000_000, 50_000_000)) for _ in range(2)]
    return [
        *(Way(TARGET, part, level=reference + sign * near()) for part in thirds),
        Way(STOP, 60_000_000, level=reference - sign * near()),
        Way(STOP, 40_000_000, level=reference - sign * near()),
        Way(TRAIL, 77_777_777, rate=chance.randint(5, 200)),
    ]


def _enough(way: Way, lots: int) -> bool:
    return way.part == 10**8 or lots * way.part // 10**8 >= 1


NAMES = {
    STOP: LegKind.STOP_LOSS,
    BREAK_EVEN: LegKind.BREAK_EVEN,
    TRAIL: LegKind.TRAILING_STOP,
    TARGET: LegKind.TAKE_PROFIT,
}


def leg_for(way: Way) -> Leg:
    level, activation, trail = (
        Decimal(cents) / 100 if cents else None for cents in (way.level, way.activation, way.trail)
    )
    return Leg(
        kind=NAMES[way.kind],
        fraction=Decimal(way.part) / 10**8,
        level=level,
        activation=activation,
        trail=Decimal(way.rate) / 10**5 if way.rate else trail,
        trail_is_rate=bool(way.rate),
    )


# --- the chain ------------------------------------------------------------------------------------------------------


class Chain:
    """The listener's own parts in this thread; the lease and the writing of exits have theirs, as in the process."""

    def __init__(self, instrument: Instrument, account: Account) -> None:
        self.instrument, self.account = instrument, account
        self.leadership = Leadership(f"listener:{instrument.shard}")
        self.emitter = Emitter(self.leadership, lambda: None)
        self.watcher = Watcher(self.emitter.put)
        self.levels = Levels(instrument.shard, self.watcher, self.emitter)
        self.flusher = QuoteFlusher(self.watcher, self.emitter, self.leadership)
        self.tape = self.watcher.follow(SYMBOL, instrument.pk)
        source = Source("coinbase", self.watcher, Switchboard())
        source.adopt([self.tape])
        self.feed = CoinbaseFeed(FeedConfig(ws_url="", rest_url="", products=(SYMBOL,)), source)
        self.feed.opened(lambda _: None)
        self.opened: list[tuple[Lot, int]] = []
        self._last_ns = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        parts = (self.leadership, self.emitter)
        threads = [Thread(target=part.run) for part in parts]
        for thread in threads:
            thread.start()
        try:
            assert self.leadership.leads.wait(10)
            yield
        finally:
            for part, thread in zip(parts, threads, strict=True):
                part.stop()
                thread.join(10)

    def push(self, payload: bytes) -> None:
        self._last_ns = max(time.time_ns(), self._last_ns + 2_000)
        self.feed.text(payload, self._last_ns)

    def open(self, chance: random.Random, count: int, after: int) -> None:
        """Open positions at the quote that the listener wrote, right after the tick with index `after`."""
        self.flusher.step()
        quote = Quote.objects.get(instrument=self.instrument)
        assert quote.bid is not None
        assert quote.ask is not None
        lots = [make_lot(chance, int(quote.bid * 100), int(quote.ask * 100), after) for _ in range(count)]
        self._last_ns += 2_000
        wishes = [self._wish(lot) for lot in lots]
        found = positions.open_many(wishes, now=from_ns(self._last_ns))
        self.opened += [(lot, one.position.pk) for lot, one in zip(lots, found, strict=True)]

    def _wish(self, lot: Lot) -> Opening:
        return Opening(
            account_id=self.account.pk,
            instrument_id=self.instrument.pk,
            side=Side.LONG if lot.sign > 0 else Side.SHORT,
            quantity=lot.lots * LOT,
            legs=tuple(map(leg_for, lot.ways)),
        )

    def execute(self) -> None:
        """Do what a worker and the level thread do between two ticks."""
        assert self.emitter.settle(timeout=20)
        while exits.drain(worker="replay", limit=1000).more:
            pass
        self.levels.poll()


def recording(minimum: int = 21_000) -> list[bytes]:
    """Return the recorded ticker messages; where they are not, generated ones in the same shape."""
    if RECORDED.exists():
        with gzip.open(RECORDED) as file:
            lines = list(file)
    else:
        product = next(product for product in products.DEFAULT if product.id == SYMBOL)
        lines = list(record.lines(minimum, seed=7, products=(product,), rate=10))
    return [line[line.index(b'"msg":') + 6 : line.rindex(b"}")] for line in lines]


def replay(chain: Chain, messages: list[bytes], chance: random.Random) -> None:
    """Push everything, opening positions over the first two thirds; legs arrive at once, or some hundred ticks late."""
    every = len(messages) * 2 // 3 // CHUNKS
    arrivals: set[int] = set()
    for index, message in enumerate(messages):
        chain.push(message)
        if index % every == every // 2 and len(chain.opened) < POSITIONS:
            chain.open(chance, POSITIONS // CHUNKS, index)
            arrivals.add(index + chance.choice((0, 1, 40, 400)))
        if index in arrivals or index % 500 == 499:
            chain.levels.poll()
            chain.execute()
    chain.execute()
    chain.flusher.step()


# --- the comparison -------------------------------------------------------------------------------------------------


def seen_closes(legs: dict[int, list[int]]) -> dict[int, list[tuple[int, int, Decimal, Decimal]]]:
    """Return what the product did, by position: trade id, number of the leg, quantity and fill price."""
    found: dict[int, list[tuple[int, int, Decimal, Decimal]]] = {}
    rows = Exit.objects.filter(status="done")
    for position, leg, trade, quantity, price in rows.values_list(
        "position_id", "leg_id", "trade_id", "quantity", "fill_price"
    ):
        found.setdefault(position, []).append((trade, legs[position].index(leg), quantity, price))
    return {position: sorted(closes) for position, closes in found.items()}


def wanted_closes(lot: Lot, ids: list[int]) -> list[tuple[int, int, Decimal, Decimal]]:
    """Return what the model did; legs of one tick by number, for the quantities tell which of them went first."""
    found = [(ids[close.tick], close.way, close.lots * LOT, Decimal(close.cents) / 100) for close in lot.closes]
    return sorted(found)


def wanted_money(lot: Lot) -> tuple[str, Decimal, Decimal, Decimal]:
    """Return status, what is left, profit and fees of a position, in plain arithmetic."""
    cents = sum((close.cents - lot.entry) * lot.sign * close.lots for close in lot.closes)
    turnover = lot.entry * lot.lots + sum(close.cents * close.lots for close in lot.closes)
    step = LOT / 100
    return ("open" if lot.left else "closed", lot.left * LOT, cents * step, turnover * step * FEE)


@pytest.mark.django_db(transaction=True)
def test_every_close_is_the_one_a_brute_force_model_names(tick_store: Store, settings: Settings) -> None:
    del tick_store  # the invariants look into it
    settings.EXIT_LATE_AFTER = timedelta(hours=1)  # a slow machine must not turn a fill into a late one
    instrument = factories.make_instrument(SYMBOL, None, lot_size=LOT, min_quantity=LOT)
    account = factories.make_account(deposit="1000000000000", fee_rate=str(FEE), slippage_rate=str(SLIPPAGE))
    messages = recording()
    chain = Chain(instrument, account)
    chain.levels.start()
    with chain.running():
        replay(chain, messages, random.Random(20240808))

    texts = [json.loads(message) for message in messages]
    ids = [text["trade_id"] for text in texts]
    assert ids == sorted(set(ids))
    counters = chain.feed.counters
    assert (counters.accepted, counters.snapshots, counters.off_market) == (len(messages) - 1, 1, 0)
    ticks = np.array([int(Decimal(text["price"]) * 100) for text in texts], dtype=np.int64)

    legs: dict[int, list[int]] = {}
    for position, leg in ExitLeg.objects.order_by("id").values_list("position_id", "id"):
        legs.setdefault(position, []).append(leg)
    seen = seen_closes(legs)
    stored = {row.pk: row for row in Position.objects.all()}
    closes = 0
    for lot, key in chain.opened:
        lot.run(ticks)
        row = stored[key]
        assert row.entry_price == Decimal(lot.entry) / 100
        assert seen.get(key, []) == wanted_closes(lot, ids), lot
        assert (row.status, row.remaining, row.realised_pnl, row.fees) == wanted_money(lot), lot
        closes += len(lot.closes)
    assert len(stored) == len(chain.opened) == POSITIONS
    assert closes > POSITIONS // 2
    assert {way.kind for lot, _ in chain.opened for close in lot.closes for way in [lot.ways[close.way]]} == set(NAMES)
    broken = [finding for finding in invariants.check(bound="0 seconds") if finding.violations]
    assert broken == []
    assert factories.books_balance(account)
