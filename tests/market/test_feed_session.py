"""Whatever a venue does to the connection, the feed notices in time, says so in one word, and comes back."""

import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from apps.domain.ticks import Tick
from apps.market.feeds.base import FeedConfig, FeedStatus
from apps.market.feeds.coinbase import CoinbaseFeed
from tests.market.following import QUICK, Recorder, fates, following, wait_for
from tests.market.scenes import (
    after_one_trade,
    bad_opcode,
    beat,
    closing,
    drip,
    endless_frame,
    fin,
    garbage_only,
    good,
    message_within_a_message,
    pings_only,
    pongs_only,
    slow_close,
    stall,
    stall_in_mid_frame,
    stall_in_the_header,
    text,
)
from tests.market.venue import Peer, frame, running, ticker


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(stall, "silent", id="silent stall"),
        pytest.param(stall_in_mid_frame, "silent", id="stall in the payload of a frame"),
        pytest.param(stall_in_the_header, "silent", id="stall in the header of a frame"),
        pytest.param(drip, "silent", id="a frame that drips"),
        pytest.param(pongs_only, "silent", id="pongs but no data"),
        pytest.param(pings_only, "silent", id="pings but no data"),
        pytest.param(garbage_only, "silent", id="nothing but garbage"),
        pytest.param(endless_frame, "protocol", id="a frame without end"),
        pytest.param(bad_opcode, "protocol", id="an opcode that does not exist"),
        pytest.param(message_within_a_message, "protocol", id="a message within a message"),
        pytest.param(fin, "lost", id="closed without a close frame"),
        pytest.param(Peer.reset, "reset", id="RST"),
        pytest.param(closing(1000, "bye"), "closed_1000", id="close 1000"),
        pytest.param(closing(1001, "going away"), "closed_1001", id="close 1001"),
        pytest.param(closing(1011, "oops"), "closed_1011", id="close 1011"),
        pytest.param(closing(1012, "restart"), "closed_1012", id="close 1012"),
        pytest.param(lambda peer: peer.raw(frame(b"", 0x8)), "closed", id="close without a code"),
        pytest.param(slow_close, "closed_1001", id="close frame, FIN late"),
    ],
)
def test_a_lost_session_is_named_and_replaced(fault: Callable[[Peer], None], reason: str) -> None:
    with running(after_one_trade(fault), good) as venue, following(venue) as (feed, sink):
        wait_for(lambda: 2 in sink.ids(), 4)
        assert feed.counters.reconnects == {reason: 1}
        assert sink.reasons(FeedStatus.DOWN) == [reason]
        assert feed.counters.sessions == 2
        assert sink.ids() == [1, 2]
        wait_for(lambda: feed.state().status is FeedStatus.LIVE)
        assert feed.state().session == 2
    assert fates(feed) == feed.counters.received


def test_silence_is_stale_first_and_only_then_fatal() -> None:
    with running(after_one_trade(stall), good) as venue, following(venue) as (_, sink):
        wait_for(lambda: 2 in sink.ids())
        wait_for(lambda: sink.states[-1].status is FeedStatus.LIVE)
        told = [(state.status.value, state.session) for state in sink.states]
        assert told == [
            ("connecting", 1),
            ("live", 1),
            ("stale", 1),
            ("down", 1),
            ("connecting", 2),
            ("live", 2),
        ]
        stale, down = sink.states[2], sink.states[3]
        assert 0.2 < (down.at_ns - stale.at_ns) / 1e9 < 0.6


def test_a_feed_that_speaks_again_in_time_is_live_again_without_a_new_session() -> None:
    def pausing(peer: Peer) -> None:
        peer.subscribe()
        peer.send(ticker("BTC-USD", 1))
        time.sleep(0.45)
        peer.send(ticker("BTC-USD", 2))
        beat(peer)

    with running(pausing) as venue, following(venue) as (feed, sink):
        wait_for(lambda: sink.ids() == [1, 2])
        wait_for(lambda: feed.state().status is FeedStatus.LIVE)
        assert [state.status.value for state in sink.states] == ["connecting", "live", "stale", "live"]
        assert feed.counters.sessions == 1


def test_a_quiet_market_with_heartbeats_is_live() -> None:
    def quiet(peer: Peer) -> None:
        peer.subscribe()
        beat(peer)

    with running(quiet) as venue, following(venue) as (feed, sink):
        wait_for(lambda: len(sink.beats) > 16)
        assert feed.counters.sessions == 1
        assert [state.status for state in sink.states] == [FeedStatus.CONNECTING, FeedStatus.LIVE]
        assert not sink.ticks


@pytest.mark.parametrize("phase", ["handshake", "waiting", "mid frame", "between sessions", "flooded"])
def test_stop_takes_less_than_a_second_in_every_phase(phase: str) -> None:
    slow = replace(QUICK, handshake_timeout=30, stale_after=30, kill_after=30, backoff_base=60, backoff_cap=60)

    def flood(peer: Peer) -> None:
        peer.subscribe()
        while True:
            peer.send(ticker("BTC-USD", 1))

    scripts = {
        "handshake": good,
        "waiting": after_one_trade(stall),
        "mid frame": after_one_trade(stall_in_mid_frame),
        "between sessions": after_one_trade(fin),
        "flooded": flood,
    }

    def upgrade(_: int, connection: socket.socket) -> bool:
        if phase == "handshake":
            connection.recv(4096)
            connection.recv(1)
        return phase != "handshake"

    with running(scripts[phase], upgrade=upgrade) as venue, following(venue, timings=slow) as (feed, sink):
        wait_for(lambda: venue.dialled and (phase == "handshake" or feed.counters.received > 1))
        if phase == "between sessions":
            wait_for(lambda: feed.state().status is FeedStatus.DOWN)
        started = time.monotonic()
        feed.stop()
        wait_for(lambda: feed.state().reason == "stopped")
        assert time.monotonic() - started < 1.0
    assert sink.states[-1].status is FeedStatus.DOWN


def test_stop_before_run_means_no_connection_at_all() -> None:
    with running(good) as venue, following(venue) as (feed, _):
        wait_for(lambda: feed.counters.sessions)
        feed.stop()
        wait_for(lambda: feed.state().reason == "stopped")
        time.sleep(0.2)
        assert len(venue.dialled) <= 1


def test_a_slow_sink_is_our_own_fault_and_does_not_cost_the_session() -> None:
    release = threading.Event()

    with running(good) as venue, following(venue) as (feed, sink):
        wait_for(lambda: sink.beats)
        plain = sink.heard

        def blocked(symbol: str, received_ns: int) -> None:
            release.wait(5)
            plain(symbol, received_ns)

        sink.heard = blocked
        wait_for(lambda: "receiver busy" in sink.reasons(FeedStatus.STALE))
        time.sleep(QUICK.kill_after)
        release.set()
        wait_for(lambda: feed.state().status is FeedStatus.LIVE)
        assert feed.counters.sessions == 1


def test_a_bug_in_the_sink_is_not_mistaken_for_a_lost_connection() -> None:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            feed.run()
        except OSError as error:
            raised.append(error)

    with running(good) as venue:
        feed = CoinbaseFeed(FeedConfig(ws_url=venue.url, rest_url="", products=("BTC-USD",), timings=QUICK), Broken())
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(timeout=3)
        assert not thread.is_alive()
    assert [str(error) for error in raised] == ["the disk is full"]


class Broken(Recorder):
    """A sink that fails with the same family of errors as a socket."""

    def tick(self, tick: Tick) -> None:
        raise OSError("the disk is full")


def test_what_arrives_after_a_session_was_given_up_is_dropped() -> None:
    count = 5000

    def script(peer: Peer) -> None:
        peer.subscribe()
        peer.raw(b"".join(frame(text(ticker("BTC-USD", number))) for number in range(1, count + 1)))
        beat(peer)

    with running(script) as venue:
        sink = Recorder()
        feed = CoinbaseFeed(FeedConfig(ws_url=venue.url, rest_url="", products=("BTC-USD",), timings=QUICK), sink)
        keep = sink.tick

        def stopping(tick: Tick) -> None:
            keep(tick)
            feed.stop()

        feed._gate._hand_on = stopping
        feed.run()
        assert 1 <= len(sink.ticks) < count / 10


def test_no_descriptor_survives_many_sessions() -> None:
    with running(after_one_trade(fin)) as venue, following(venue) as (feed, _):
        wait_for(lambda: feed.counters.sessions >= 3)
        before = len(os.listdir("/proc/self/fd"))
        wait_for(lambda: feed.counters.sessions >= 15)
        assert len(os.listdir("/proc/self/fd")) <= before + 4
