"""Frames come in any shape, and each of their messages arrives once."""

from tests.market.following import following, wait_for
from tests.market.scenes import beat, text
from tests.market.venue import BINARY, PING, PONG, Peer, frame, running, ticker


def test_a_ping_is_answered_with_its_payload_between_two_trades() -> None:
    answers: list[tuple[int, bytes]] = []

    def pinging(peer: Peer) -> None:
        peer.subscribe()
        one, two = (frame(text(ticker("BTC-USD", number))) for number in (1, 2))
        peer.raw(one + frame(b"marco", PING) + two)
        answers.append(peer.receive())
        beat(peer)

    with running(pinging) as venue, following(venue) as (_, sink):
        wait_for(lambda: sink.ids()[:2] == [1, 2] and answers)
    assert answers == [(PONG, b"marco")]


def test_frames_may_come_cut_at_any_byte_joined_fragmented_or_large() -> None:
    count = 40
    frames = b"".join(frame(text(ticker("BTC-USD", number))) for number in range(1, count + 1))
    long = text(ticker("BTC-USD", count + 1) | {"padding": "x" * 100_000})
    last = text(ticker("BTC-USD", count + 2))
    pieces = (
        frame(last[:50], fin=False)
        + frame(b"", PING)
        + frame(last[50:90], 0x0, fin=False)
        + frame(last[90:], 0x0)
        + frame(text(ticker("BTC-USD", count + 3)))
    )

    def cutting(peer: Peer) -> None:
        peer.subscribe()
        data, step = frames + frame(long) + pieces, 1
        while data:
            peer.raw(data[:step])
            data, step = data[step:], step % 1500 + 97
        beat(peer)

    with running(cutting) as venue, following(venue) as (feed, sink):
        wait_for(lambda: len(sink.ticks) >= count + 3)
        assert sink.ids()[: count + 3] == list(range(1, count + 4))
        assert feed.counters.garbage == 0


def test_binary_messages_are_counted_and_the_stream_goes_on() -> None:
    def script(peer: Peer) -> None:
        peer.subscribe()
        peer.raw(frame(text(ticker("BTC-USD", 1)), BINARY))
        peer.send(ticker("BTC-USD", 1))
        beat(peer)

    with running(script) as venue, following(venue) as (feed, sink):
        wait_for(lambda: sink.ids() == [1])
        assert feed.counters.garbage == 1
        assert feed.counters.samples[0].reason == "a binary message"
