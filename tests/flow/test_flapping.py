"""An hour of a bad line, pressed into about a minute: what can be had is whole, what cannot is listed.

A simulated exchange keeps its trades for some seconds only. Its line breaks, stalls, loses, doubles, shuffles, garbles
at random, its REST side fails now and then, and the listener is killed once for so long that trades are lost
for good. `FLAPPING_SECONDS=3600` plays the hour at its own pace.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
import requests

from apps.market import store
from apps.market.models import Gap, Instrument
from apps.market.store import Timeframe
from apps.market.store import candles as store_candles
from apps.market.store import ticks as store_ticks
from apps.market.store.timeframes import ceiling, floor
from apps.simulator.exchange import SimExchange
from apps.simulator.venue import Venue
from tests.flow import worlds
from tests.flow.worlds import World, as_json, eventually

SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD")
SECONDS = float(os.environ.get("FLAPPING_SECONDS", "26"))
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
RATE = 450.0  # trades a second: the exchange forgets the oldest after 7 to 14 seconds
AWAY = 14.0  # seconds the killed listener stays away: longer than the exchange remembers
BREAKS = ("drop", "close:1001,going away", "stall:3", "stall_keep_pong:2", "stall_mid_frame:2")
LIES = (
    *("gap:1", "gap:7", "gap:40", "duplicate:5", "duplicate:30", "reorder:4", "reorder:12", "replay_old:50"),
    *("garbage:all", "garbage:nan", "garbage:1e5", "garbage:bad_utf8", "crossed:3", "zero_bid:3", "ack_partial:1"),
)
DEAF = ("rate_limit:1", "rest_status:500,3", "rest_status:503,2", "http_status:503,1")
HOUR = (*(BREAKS * 1), *(LIES * 10), *(DEAF * 4))  # 171 faults, one every 21 seconds of an hour


class Trade(NamedTuple):
    """One trade that happened, sent or not."""

    trade_id: int
    at: datetime
    price: Decimal
    size: Decimal


class Truth:
    """Every trade of the exchange, taken from its own books while it still has them."""

    def __init__(self, exchange: SimExchange) -> None:
        self._exchange = exchange
        self.trades: dict[str, dict[int, Trade]] = {symbol: {} for symbol in SYMBOLS}

    def collect(self) -> None:
        newest = {symbol: max(known, default=None) for symbol, known in self.trades.items()}

        def fresh(venue: Venue) -> dict[str, list[Any]]:
            return {
                symbol: venue.tapes[symbol].trades(newer_than=newest[symbol], older_than=None, limit=100_000)
                for symbol in SYMBOLS
            }

        for symbol, rows in self._exchange._call(fresh).items():
            assert not rows or newest[symbol] in (None, rows[-1][0] - 1), "this machine was too slow to keep the truth"
            for trade_id, time_us, price, size, _ in reversed(rows):
                moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
                self.trades[symbol][trade_id] = Trade(trade_id, moment, Decimal(price), Decimal(size))

    def seconds(self, symbol: str) -> dict[datetime, tuple[Decimal, ...]]:
        """Return the candles of one second, aggregated here and nowhere else."""
        buckets: dict[datetime, list[Trade]] = {}
        for trade in self.trades[symbol].values():
            buckets.setdefault(trade.at.replace(microsecond=0), []).append(trade)
        return {start: bar(trades) for start, trades in buckets.items()}


def bar(trades: list[Trade]) -> tuple[Decimal, ...]:
    prices = [trade.price for trade in trades]
    volume = sum((trade.size for trade in trades), Decimal(0))
    return prices[0], max(prices), min(prices), prices[-1], volume


def flap(world: World, exchange: SimExchange, truth: Truth) -> None:
    """Let the hour pass: faults at random moments, the listener killed and away in the middle."""
    draw = random.Random(20261121)
    length = _length()
    plan = sorted((draw.uniform(0, length), fault) for fault in HOUR)
    dies, returns, began = 0.1 * SECONDS, 0.1 * SECONDS + AWAY, time.monotonic()
    while (now := time.monotonic() - began) < length:
        while plan and plan[0][0] <= now:
            exchange.fault(plan.pop(0)[1])
        if dies and now >= dies:
            world.kill("listener", signal.SIGKILL)
            dies = 0.0
        if returns and now >= returns:
            world.start("listener")
            returns = 0.0
        truth.collect()
        time.sleep(0.1)
    exchange.fault("clear")


def _length() -> float:
    """Return how long to flap: until just after the first full minute that the outage lies before."""
    return SECONDS + (60 - time.time() - SECONDS) % 60 + 2


@pytest.mark.faults
@pytest.mark.timeout(max(600, SECONDS * 2))
def test_after_an_hour_of_flapping_candles_are_whole_and_every_lost_second_is_listed(world: World) -> None:
    rows = {row.symbol: row for row in worlds.instruments(*SYMBOLS)}
    market = store.connect(world.database_url)
    with closing(market), SimExchange(products=",".join(SYMBOLS), rate=RATE, seed=7, keep=1) as exchange:
        world.extra |= {"COINBASE_WS_URL": exchange.ws_url, "COINBASE_REST_URL": exchange.rest_url}
        truth = Truth(exchange)
        world.start("listener")
        world.wait_for("listener")
        truth.collect()
        flap(world, exchange, truth)
        until = floor(datetime.now(UTC), MINUTE)
        eventually(lambda: (truth.collect(), _is_behind(market, rows, until))[1], 20)
        _while_collecting(truth, lambda: world.stop("listener"))
        faults = Counter(row["fault"] for row in exchange.journal()["faults"])
        lost = _everything_that_is_missing_is_listed(world, market, rows, truth, until)
        _what_the_venue_has_is_fetched(world, market, rows, truth, until, exchange.rest_url)
    kept = {symbol: len(truth.trades[symbol]) for symbol in SYMBOLS}
    print(f"{sum(faults.values())} faults, {sum(kept.values())} trades, {lost} missing before the refill; {faults}")
    assert sum(faults.values()) > len(HOUR) * 0.9


def _while_collecting(truth: Truth, work: Callable[[], None]) -> None:
    """Do something that may take longer than the exchange remembers."""
    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        truth.collect()
        thread.join(0.1)
    truth.collect()


def _is_behind(market: store.Store, rows: dict[str, Instrument], until: datetime) -> bool:
    """Say whether the listener has stored something from after the last full minute, of every product."""
    return all(store_ticks.between(market, row.pk, until, until + MINUTE, limit=1) for row in rows.values())


def _everything_that_is_missing_is_listed(
    world: World, market: store.Store, rows: dict[str, Instrument], truth: Truth, until: datetime
) -> int:
    found = world.manage("gaps", "--until", until.isoformat(), "--json")
    assert found.returncode == 1, found.stderr
    assert as_json(found.stdout)["ok"] is False
    total = 0
    for symbol, row in rows.items():
        missing = _missing(market, row, truth.trades[symbol], until)
        assert missing, "the faults must have cost something, or this test proves nothing"
        assert missing <= _listed(row)
        assert {one for one in _listed(row) if _at(truth, symbol, one) < until} == missing
        spans = [(gap.since, gap.until) for gap in Gap.objects.filter(instrument=row, state=Gap.State.OPEN)]
        for one in missing:
            moment = truth.trades[symbol][one].at
            assert any(since <= moment <= until_ for since, until_ in spans)
        total += len(missing)
    return total


def _what_the_venue_has_is_fetched(
    world: World, market: store.Store, rows: dict[str, Instrument], truth: Truth, until: datetime, rest_url: str
) -> None:
    done = world.manage("gaps", "--refill", "--until", until.isoformat(), "--json")
    assert done.returncode in (0, 1), done.stderr
    bridged = 0
    for symbol, row in rows.items():
        gone = _missing(market, row, truth.trades[symbol], until)
        assert {one for one in _listed(row) if _at(truth, symbol, one) < until} == gone
        assert not Gap.objects.filter(instrument=row, state="open", until__lte=until).exists()
        bridged += len(gone)
        _minutes_are_the_venues(market, row, rest_url, until)
        _seconds_are_whole_outside_of_gaps(market, row, truth.seconds(symbol), until)
    assert bridged, "nothing was lost for good: the outage was too short to prove anything"


def _minutes_are_the_venues(market: store.Store, row: Instrument, rest_url: str, until: datetime) -> None:
    since = until - timedelta(minutes=100)
    query = {"granularity": "60", "start": since.isoformat(), "end": (until - MINUTE).isoformat()}
    answer = requests.get(f"{rest_url}/products/{row.symbol}/candles", params=query, timeout=10)
    told = {
        int(at): (opened, high, low, close, volume)
        for at, low, high, opened, close, volume in answer.json(parse_float=Decimal, parse_int=Decimal)
    }
    mine = {
        int(item.at.timestamp()): (item.open, item.high, item.low, item.close, item.volume)
        for item in store_candles.rows(market, row.pk, Timeframe.MINUTE, since=since, until=until)
    }
    assert mine
    waiting = _waiting(row)
    assert {at: mine[at] for at in mine if at not in waiting} == {at: told[at] for at in mine if at not in waiting}
    # From the first stored minute on none is left out that the venue has.
    assert [at for at in sorted(told) if at >= min(mine) and at not in waiting] == sorted(mine.keys() - waiting)


def _waiting(row: Instrument) -> set[int]:
    """Return the minutes of a gap whose last minute was not over when the venue was asked: one at the very end."""
    waiting = {int(floor(at, MINUTE).timestamp()) for at in _touched(Gap.objects.filter(instrument=row, state="open"))}
    assert len(waiting) < 4
    return waiting


def _seconds_are_whole_outside_of_gaps(
    market: store.Store, row: Instrument, told: dict[datetime, tuple[Decimal, ...]], until: datetime
) -> None:
    first = store_ticks.between(market, row.pk, until - timedelta(days=1), until, limit=1)[0].at
    since = ceiling(first, SECOND)
    store_candles.roll_up(market, [row.pk], Timeframe.SECOND, since, until)
    mine = {
        item.at: (item.open, item.high, item.low, item.close, item.volume)
        for item in store_candles.rows(market, row.pk, Timeframe.SECOND, since=since, until=until)
    }
    listed = set(_touched(Gap.objects.filter(instrument=row).exclude(state="filled")))
    wanted = {at: values for at, values in told.items() if since <= at < until and at not in listed}
    assert wanted
    assert {at: mine.get(at) for at in wanted} == wanted


def _touched(gaps: Iterable[Gap]) -> Iterable[datetime]:
    for gap in gaps:
        at = floor(gap.since, SECOND)
        while at <= gap.until:
            yield at
            at += SECOND


def _missing(market: store.Store, row: Instrument, happened: dict[int, Trade], until: datetime) -> set[int]:
    """Return the numbers that happened after the first stored trade and are not stored."""
    stored = {tick.trade_id for tick in store_ticks.between(market, row.pk, until - timedelta(days=1), until + MINUTE)}
    first = min(stored)  # of half a million after an hour: not to be looked for again for each of them
    return {one for one, trade in happened.items() if one > first and trade.at < until} - stored


def _listed(row: Instrument) -> set[int]:
    rows = Gap.objects.filter(instrument=row, kind="trades").exclude(state="filled")
    return {one for gap in rows for one in range(gap.first_id or 0, (gap.last_id or -1) + 1)}


def _at(truth: Truth, symbol: str, trade_id: int) -> datetime:
    return truth.trades[symbol][trade_id].at
