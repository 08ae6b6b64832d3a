"""The clockwork: makes trades happen at their rate or from a recording, beats every second, carries out due faults."""

import asyncio

from apps.simulator import market
from apps.simulator.replay import Line, Track
from apps.simulator.venue import Venue

BATCH = 256  # trades between two looks at the sockets
COALESCE = 0.001  # seconds; trades that fall due within it share one write
CATCH_UP = 1.0  # seconds of delay that are made good, more is skipped
FAULT_STEP = 0.02  # seconds between looks at the fault plan
RESTART_GAP = 2  # what the book's sequence rises by between two rounds of a recording


async def run(venue: Venue) -> None:
    """Drive the exchange until cancelled."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_beat(venue))
        group.create_task(_carry_out_faults(venue))
        if venue.config.recording is not None:
            group.create_task(_replay(venue))
        elif venue.config.rate is None:
            group.create_task(_bursts_only(venue))
        elif venue.config.unpaced:
            group.create_task(_trade_unpaced(venue))
        else:
            group.create_task(_trade_paced(venue))


async def _beat(venue: Venue) -> None:
    count = 0
    while True:
        await asyncio.sleep(1.0 - venue.elapsed() % 1.0)
        venue.beat()
        count += 1
        if count % 5 == 0:
            venue.beat_slowly()
        venue.hub.flush()


async def _carry_out_faults(venue: Venue) -> None:
    while True:
        for fault in venue.plan.due(venue.elapsed()):
            venue.carry_out(fault)
        venue.orders.tick(venue.true_us())
        await asyncio.sleep(FAULT_STEP)


def _rate(venue: Venue) -> float:
    switches = venue.switches
    if venue.elapsed() < switches.burst_until:
        return switches.burst_rate
    return venue.config.rate or 0.0


async def _trade_paced(venue: Venue) -> None:
    due = venue.elapsed()
    while True:
        now, quiet_until = venue.elapsed(), venue.switches.quiet_until
        if now < quiet_until:
            due = quiet_until
        rate = _rate(venue)
        due = max(due, now - CATCH_UP)
        made = 0
        while due <= now and made < BATCH:
            venue.trade()
            due += venue.market.wait() / rate
            made += 1
        venue.hub.flush()
        await asyncio.sleep(0 if made == BATCH else min(0.05, max(COALESCE, due - venue.elapsed())))


async def _bursts_only(venue: Venue) -> None:
    """Scripted trades need no clock; only the burst fault does."""
    while True:
        await asyncio.sleep(FAULT_STEP)
        if venue.elapsed() < venue.switches.burst_until:
            for _ in range(int(venue.switches.burst_rate * FAULT_STEP) + 1):
                venue.trade()
            venue.hub.flush()


async def _trade_unpaced(venue: Venue) -> None:
    while True:
        await _wait_for_room(venue)
        for _ in range(BATCH):
            venue.trade()


async def _wait_for_room(venue: Venue) -> None:
    """Write what has gathered, then wait until somebody listens, all sockets have room, and quiet is not ordered."""
    venue.hub.flush()
    await asyncio.sleep(0)
    await venue.hub.audience.wait()
    await venue.hub.writable.wait()
    while venue.elapsed() < venue.switches.quiet_until:
        await asyncio.sleep(FAULT_STEP)


# Replay


async def _replay(venue: Venue) -> None:
    """Play the recording from the first listener on; each round of a loop goes on with higher ids and sequences."""
    assert venue.config.recording is not None
    await venue.hub.audience.wait()
    play = _play_unpaced if venue.config.unpaced else _play_paced
    number = 0
    while True:
        await play(venue, number)
        number += 1
        if not venue.config.loop:
            break
    venue.finished = True


async def _play_unpaced(venue: Venue, number: int) -> None:
    assert venue.config.recording is not None
    tracks = {track.product_id: track for track in venue.config.recording.tracks}
    for place, line in enumerate(venue.config.recording):
        if place % BATCH == 0:
            await _wait_for_room(venue)
        _publish(venue, line, tracks, number)
    venue.hub.flush()


async def _play_paced(venue: Venue, number: int) -> None:
    assert venue.config.recording is not None
    tracks = {track.product_id: track for track in venue.config.recording.tracks}
    speed, began, first_ns, pending = venue.config.speed, venue.elapsed(), 0, 0
    for line in venue.config.recording:
        first_ns = first_ns or line.at_ns
        offset = (line.at_ns - first_ns) / 1e9 / speed
        while (ahead := began + offset - venue.elapsed()) > COALESCE or pending >= BATCH:
            venue.hub.flush()
            pending = 0
            await asyncio.sleep(max(0.0, ahead))
            began = max(began, venue.switches.quiet_until - offset)  # quiet shifts all that is left
        _publish(venue, line, tracks, number)
        pending += 1
    venue.hub.flush()


def _publish(venue: Venue, line: Line, tracks: dict[str, Track], number: int) -> None:
    ticker, track = line.msg, tracks[line.msg.product_id]
    book = venue.tapes[ticker.product_id]
    trade_id = ticker.trade_id + number * (track.last_id - track.first_id + 1)
    sequence = ticker.sequence + number * (track.last_sequence - track.first_sequence + RESTART_GAP)
    book.jump_to(trade_id, book.sequence)
    made: market.Print = (
        float(ticker.price), ticker.price, float(ticker.last_size), ticker.last_size, ticker.side, ticker.best_bid,
        ticker.best_bid_size, ticker.best_ask, ticker.best_ask_size, max(1, sequence - book.sequence),
    )  # fmt: skip
    venue.print_trade(ticker.product_id, made)
