"""Whatever a venue sends, the stream goes on: the unreadable is kept for a person, the unknown is ignored."""

import json

import pytest

from tests.market.following import fates, following, wait_for
from tests.market.venue import Peer, frame, running, ticker

FAR = 10**40


def changed(**changes: object) -> bytes:
    message = {key: value for key, value in (ticker("BTC-USD", 2) | changes).items() if value is not Ellipsis}
    return json.dumps(message, separators=(",", ":")).encode()


def play(*payloads: bytes) -> object:
    """A venue that sends one trade, then the payloads, then trade 9."""

    def script(peer: Peer) -> None:
        peer.subscribe()
        peer.send(ticker("BTC-USD", 1))
        for payload in payloads:
            peer.raw(frame(payload))
        peer.send(ticker("BTC-USD", 9))
        peer.receive()

    return script


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"not json", id="no JSON"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="half a message"),
        pytest.param(b"[1,2,3]", id="an array"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"ticker"', id="a text"),
        pytest.param(b"{}", id="no type"),
        pytest.param(b'{"type":7}', id="a number for a type"),
        pytest.param(b'{"type":"ticker"}', id="no fields"),
        pytest.param(changed(price=...), id="no price"),
        pytest.param(changed(trade_id=...), id="no trade id"),
        pytest.param(changed(product_id=...), id="no product"),
        pytest.param(changed(price=None), id="null for a price"),
        pytest.param(changed(price=100.5), id="a number for a price"),
        pytest.param(changed(price=float("nan")), id="bare NaN"),
        pytest.param(changed(trade_id="2"), id="a text for a trade id"),
        pytest.param(changed(trade_id=2.5), id="a fraction for a trade id"),
        pytest.param(changed(trade_id=0), id="trade id 0"),
        pytest.param(changed(trade_id=-2), id="a negative trade id"),
        pytest.param(changed(trade_id=FAR), id="an endless trade id"),
        pytest.param(changed(sequence=-1), id="a negative sequence"),
        pytest.param(changed(product_id=["BTC-USD"]), id="a list of products"),
        pytest.param(changed(side="\ufffd").replace(b"\\ufffd", b"\xff\xfe"), id="bad UTF-8 in a field we use"),
        pytest.param(b"\xff\xfe\x00", id="bad UTF-8"),
        pytest.param(b"[" * 100_000, id="deep nesting"),
        pytest.param(b'{"type":"ticker","x":' + b"[" * 100_000, id="deep nesting in a field"),
        pytest.param(b"x" * (5 << 20), id="5 MB"),
        pytest.param(b'{"type":"error","message":7}', id="a broken error"),
        pytest.param(b'{"type":"subscriptions","channels":{}}', id="a broken acknowledgement"),
        pytest.param(b'{"type":"heartbeat","product_id":"BTC-USD","last_trade_id":"x"}', id="a broken heartbeat"),
    ],
)
def test_garbage_is_counted_kept_and_harmless(payload: bytes) -> None:
    with running(play(payload)) as venue, following(venue) as (feed, sink):
        wait_for(lambda: 9 in sink.ids())
        assert sink.ids() == [1, 9]
        assert feed.counters.garbage == 1
        assert payload.startswith(feed.counters.samples[0].start)
        assert len(feed.counters.samples[0].start) <= 200
        assert feed.counters.sessions == 1
        assert fates(feed) == feed.counters.received


@pytest.mark.parametrize(
    "payload",
    [
        b'{"type":"status","products":[],"currencies":[]}',
        b'{"type":"something_new","product_id":"BTC-USD","price":"1"}',
        b'{"type":"match","trade_id":2,"product_id":"BTC-USD","price":"1","size":"1"}',
        b'{"a":1,"type":"l2update"}',
    ],
)
def test_types_we_do_not_know_are_ignored(payload: bytes) -> None:
    with running(play(payload)) as venue, following(venue) as (feed, sink):
        wait_for(lambda: 9 in sink.ids())
        assert feed.counters.ignored == 1
        assert feed.counters.garbage == 0


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        ("NaN", "not_finite"),
        ("nan", "not_finite"),
        ("inf", "not_finite"),
        ("-Infinity", "not_finite"),
        ("0", "zero"),
        ("0.000", "zero"),
        ("-100.00", "negative"),
        ("1e2", "exponent"),
        ("1E+2", "exponent"),
        ("1e400", "exponent"),
        ("1_00", "malformed"),
        (" 100", "malformed"),
        ("100 ", "malformed"),
        ("100\n", "malformed"),
        ("+100", "malformed"),
        ("", "malformed"),
        (".", "malformed"),
        ("100.", "malformed"),
        (".5", "malformed"),
        ("1.0.0", "malformed"),
        ("0x64", "malformed"),
        ("１００", "malformed"),  # noqa: RUF001 - full-width digits are the case
        ("\u0661\u0660\u0660", "malformed"),
        ("100,00", "malformed"),
        ("100.0000000000001", "too_precise"),
        ("0.0000000000001", "too_precise"),
        ("123456789012345678901234567890", "too_large"),
        ("1" * 60, "too_large"),
        ("120.01", "jump"),
        ("79.99", "jump"),
        ("100000", "jump"),
    ],
)
def test_prices_that_cannot_be_are_refused_by_name(price: str, reason: str) -> None:
    with running(play(changed(price=price))) as venue, following(venue) as (feed, sink):
        wait_for(lambda: 9 in sink.ids())
        assert feed.counters.rejected == {reason: 1}
        assert sink.ids() == [1, 9]
        # An unreadable price leaves a hole, so that the refill brings the true one; a jump is a true price that is
        # not believed, and must not come back that way.
        assert sink.gaps == [("BTC-USD", 3 if reason == "jump" else 2, 8)]
        assert fates(feed) == feed.counters.received


@pytest.mark.parametrize("price", ["100", "100.0", "99.123456789012", "119.99", "83.34", "100.00000000000000000"])
def test_prices_within_reason_are_taken_as_they_were_written(price: str) -> None:
    with running(play(changed(price=price))) as venue, following(venue) as (_, sink):
        wait_for(lambda: 9 in sink.ids())
        assert [(tick.text, tick.price) for tick in sink.ticks][1] == (price, float(price))


@pytest.mark.parametrize(
    ("bid", "ask"),
    [
        ("0", "100.01"),
        ("100.01", "99.99"),
        ("100.00", "100.00"),
        ("NaN", "100"),
        ("", ""),
        ("99", "inf"),
        ("1e1", "1e3"),
    ],
)
def test_a_quote_that_is_no_market_is_left_out_and_the_price_stands(bid: str, ask: str) -> None:
    with running(play(changed(best_bid=bid, best_ask=ask))) as venue, following(venue) as (feed, sink):
        wait_for(lambda: 9 in sink.ids())
        assert [(tick.bid, tick.ask) for tick in sink.ticks] == [("99.99", "100.01"), ("", ""), ("99.99", "100.01")]
        assert feed.counters.bad_quotes == 1


@pytest.mark.parametrize("size", ["NaN", "-1", "1e3", "", "1_0"])
def test_a_size_that_is_none_is_left_out_and_the_price_stands(size: str) -> None:
    with running(play(changed(last_size=size))) as venue, following(venue) as (feed, sink):
        wait_for(lambda: 9 in sink.ids())
        assert [tick.size for tick in sink.ticks] == ["0.04", "0", "0.04"]
        assert feed.counters.bad_sizes == 1


def test_a_tick_carries_what_the_venue_wrote() -> None:
    stamp = "2021-04-17T16:43:30.244075Z"
    message = ticker("BTC-USD", 2, "100.10", time=stamp, sequence=77, side="sell", last_size="0.040")
    with running(play(json.dumps(message).encode())) as venue, following(venue) as (_, sink):
        wait_for(lambda: 9 in sink.ids())
        tick = sink.ticks[1]
        assert (tick.symbol, tick.text, tick.price, tick.trade_id, tick.sequence) == ("BTC-USD", "100.10", 100.1, 2, 77)
        assert (tick.size, tick.side, tick.bid, tick.ask, tick.venue_time) == (
            "0.040",
            "sell",
            "99.99",
            "100.01",
            stamp,
        )
        assert not tick.snapshot
        assert not tick.refilled
        assert not tick.off_market
        assert abs(tick.received_ns - sink.ticks[0].received_ns) < 10**9
