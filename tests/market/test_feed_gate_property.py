"""Under any losses, doubles and reorderings ids rise strictly, and every trade is accepted or declared missing."""

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from apps.market.feeds.base import GateRules
from apps.market.feeds.counters import FeedCounters
from apps.market.feeds.gate import Gate
from tests.market.following import Recorder
from tests.market.test_feed_gate import Print

START = datetime(2026, 1, 5, 12, 0, 0, tzinfo=UTC)
SYMBOLS = ("BTC-USD", "ETH-USD")

# What befalls each produced trade: how many times it is sent, how far it is displaced, and whether a session ends.
_FATE = st.tuples(
    st.sampled_from([0, 0, 1, 1, 1, 1, 1, 2, 3]), st.integers(0, 6), st.sampled_from([False] * 9 + [True])
)


@settings(max_examples=300, deadline=None)
@given(
    fates=st.lists(st.tuples(st.sampled_from(SYMBOLS), _FATE), min_size=15, max_size=120),
    beats=st.booleans(),
    age=st.sampled_from([0.0, 60.0]),
)
def test_accepted_and_declared_trades_are_exactly_the_produced_ones(
    fates: list[tuple[str, tuple[int, int, bool]]], beats: bool, age: float
) -> None:
    sink = Recorder()
    gate = _gate(sink, dict.fromkeys(SYMBOLS, 1000))
    produced = dict.fromkeys(SYMBOLS, 1000)
    sendings: list[tuple[int, int, str, int]] = []
    for at, (symbol, (copies, shift, _)) in enumerate(fates):
        produced[symbol] += 1
        sendings += [(at + shift * copy + shift, copy, symbol, produced[symbol]) for copy in range(copies)]
    breaks = {at for at, (_, (_, _, ends)) in enumerate(fates) if ends}
    now = 0.0
    for at, _, symbol, trade_id in sorted(sendings):
        now += 0.01
        if at in breaks:
            breaks.discard(at)
            gate.session_opened()
        gate.take(_print(symbol, trade_id, age), _ns(now))
        if beats:
            gate.heartbeat(symbol, trade_id, _stamp(now), _ns(now))
    # The venue's last words: heartbeats that know every trade, so that a loss at the end shows as well.
    for second in (1, 3):
        for symbol in SYMBOLS:
            gate.heartbeat(symbol, produced[symbol], _stamp(now + second), _ns(now + second))
    for symbol in SYMBOLS:
        ids = [tick.trade_id for tick in sink.ticks if tick.symbol == symbol]
        assert all(earlier < later for earlier, later in itertools.pairwise(ids))
        news = [tick.trade_id for tick in sink.ticks if tick.symbol == symbol and not tick.snapshot]
        missing = [trade_id for name, first, last in sink.gaps if name == symbol for trade_id in range(first, last + 1)]
        assert sorted(news + missing) == list(range(1001, produced[symbol] + 1))


def _gate(sink: Recorder, known: dict[str, int]) -> Gate:
    gate = Gate(sink=sink, counters=FeedCounters(), rules=GateRules(), heartbeat_grace=1.0, known_trade_ids=known)
    gate.follow(SYMBOLS)
    return gate


def _print(symbol: str, trade_id: int, age: float) -> Print:
    return Print(trade_id, symbol=symbol, sequence=trade_id * 13, venue_time=_stamp(trade_id / 1000 - age))


def _stamp(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat()


def _ns(seconds: float) -> int:
    return int((START.timestamp() + seconds) * 1e9)
