"""What one venue alone does: its limits, its farewells, its way of counting, its own kinds of messages."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from apps.market.feeds.base import Feed, FeedStatus
from apps.market.feeds.binance import BinanceFeed
from tests.market.dialects import Advanced, Print
from tests.market.following import QUICK, Recorder, following, wait_for
from tests.market.stages import Streamed, staged, texts
from tests.market.venue import PING, PONG, Peer, Venue, frame, iso, running

# -- Binance -----------------------------------------------------------------------------------------------------------


def test_binance_never_gets_more_than_five_messages_in_a_second() -> None:
    with staged("binance") as stage:
        assert isinstance(stage, Streamed)
        with stage.followed("BTCUSDT") as (feed, _sink):
            stage.play(Print(symbol="BTCUSDT", n=1))
            for number in range(12):
                feed.add_products([f"P{number}USDT"])
                time.sleep(0.01)
                feed.remove_products([f"P{number}USDT"])
            time.sleep(2.5)
            times = stage.command_times
    assert len(times) > 5
    assert all(later - sooner >= 0.99 for sooner, later in zip(times, times[5:], strict=False))


def test_binance_pongs_with_what_it_was_pinged() -> None:
    seen = []

    def script(peer: Peer) -> None:
        peer.command()
        peer.raw(frame(b"1723161608509", PING))
        while True:
            opcode, body = peer.receive()
            if opcode == PONG:
                seen.append(body)

    with running(script) as venue, following(venue, "BTCUSDT", name="binance"):
        wait_for(lambda: seen)
    assert seen == [b"1723161608509"]


@pytest.mark.parametrize(
    "farewell",
    [
        {"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": 1770123456789}},
        {"e": "serverShutdown", "E": 1770123456789},
    ],
    ids=["combined", "raw"],
)
def test_binance_is_left_at_once_when_it_says_that_it_goes(farewell: dict[str, object]) -> None:
    with staged("binance") as stage:
        assert isinstance(stage, Streamed)
        with stage.followed() as (feed, sink):
            stage.play(Print(symbol="BTCUSDT", n=1))
            wait_for(lambda: sink.ticks)
            began = time.monotonic()
            stage.send(farewell)
            wait_for(lambda: feed.counters.sessions == 2)
            stage.play(Print(symbol="BTCUSDT", n=2, price="100.10"))
            wait_for(lambda: "100.10" in texts(sink, "BTCUSDT"))
            assert time.monotonic() - began < 2.0
            assert feed.counters.reconnects == {"server_shutdown": 1}
            assert sink.gaps == []


def test_binance_is_left_before_it_throws_us_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 23 * 3600 < BinanceFeed.session_life < 24 * 3600
    monkeypatch.setattr(BinanceFeed, "session_life", 0.6)
    with staged("binance") as stage, stage.followed() as (feed, sink):
        stage.play(Print(symbol="BTCUSDT", n=1))
        wait_for(lambda: feed.counters.reconnects["rotation"] >= 1)
        stage.play(Print(symbol="BTCUSDT", n=2, price="100.10"))
        wait_for(lambda: "100.10" in texts(sink, "BTCUSDT"))
        assert set(feed.counters.reconnects) == {"rotation"}
        assert sink.gaps == []


def test_binance_loses_a_subscription_and_is_asked_again() -> None:
    with staged("binance") as stage:
        assert isinstance(stage, Streamed)
        with stage.followed("BTCUSDT", "ETHUSDT") as (feed, _):
            peer = stage.peer("BTCUSDT", "ETHUSDT")
            wait_for(lambda: feed.delivered() == {"BTCUSDT", "ETHUSDT"})
            peer.__dict__["streams"] -= {"ethusdt@trade", "ethusdt@bookTicker"}
            peer.products = {"BTCUSDT"}
            wait_for(lambda: "ETHUSDT" in peer.products)
            assert feed.counters.sessions == 1


def test_a_binance_address_is_completed_and_microseconds_are_no_matter() -> None:
    with staged("binance") as stage, stage.followed() as (feed, _):
        assert isinstance(feed, BinanceFeed)
        assert feed.address().endswith("/stream")
        assert not feed.address().endswith("/stream/stream")


# -- Kraken ------------------------------------------------------------------------------------------------------------


def kraken_trade(*items: tuple[int, str, float], kind: str = "update") -> str:
    data = ",".join(
        f'{{"symbol":"BTC/USD","side":"sell","price":{price},"qty":0.50000000,"ord_type":"limit","trade_id":{number},'
        f'"timestamp":"{iso(time.time() - age)}"}}'
        for number, price, age in items
    )
    return f'{{"channel":"trade","type":"{kind}","data":[{data}]}}'


def test_of_krakens_old_trades_the_newest_is_shown_and_the_missed_ones_are_fetched() -> None:
    with staged("kraken") as stage:
        assert isinstance(stage, Streamed)
        with stage.followed(known_trade_ids={"BTC/USD": 40}) as (feed, sink):
            old = [(number, f"10{number}.0", 600.0 - number) for number in range(42, 50)]
            stage.send(kraken_trade(*old, kind="snapshot"), kraken_trade((50, "150.10", 0), (51, "150.20", 0)))
            wait_for(lambda: len(sink.ticks) >= 1 and feed.counters.received >= 10)
            assert [(tick.trade_id, tick.snapshot) for tick in sink.ticks][:1] == [(49, True)]
            assert sink.gaps == [("BTC/USD", 41, 49)]


@pytest.mark.parametrize(
    ("sent", "text"),
    [("105944.20", "105944.20"), ("6.38e-06", "0.00000638"), ("1E+3", "1000"), ("0.1", "0.1"), ("50", "50")],
)
def test_krakens_numbers_keep_their_digits(sent: str, text: str) -> None:
    with staged("kraken") as stage:
        assert isinstance(stage, Streamed)
        with stage.followed() as (_, sink):
            stage.send(kraken_trade((1, sent, 0)))
            wait_for(lambda: sink.ticks)
            assert (sink.ticks[0].text, sink.ticks[0].size) == (text, "0.50000000")


@pytest.mark.parametrize("sent", ["null", '"abc"', "-5", "0", "true", "1e400", "[]", "9" * 60])
def test_what_is_no_price_of_krakens_is_refused(sent: str) -> None:
    with staged("kraken") as stage:
        assert isinstance(stage, Streamed)
        with stage.followed() as (feed, sink):
            stage.send(kraken_trade((1, "100", 0)), kraken_trade((2, sent, 0)), kraken_trade((3, "100.5", 0)))
            wait_for(lambda: "100.5" in texts(sink, "BTC/USD"))
            assert sum(feed.counters.rejected.values()) == 1
            assert sink.ids("BTC/USD") == [1, 3]


def test_kraken_is_asked_again_more_slowly_when_it_was_too_fast() -> None:
    asked = []

    def script(peer: Peer) -> None:
        while True:
            message = peer.command()
            if message["method"] != "subscribe":
                continue
            asked.append(time.monotonic())
            if len(asked) <= 2:
                peer.send({"method": "subscribe", "error": "Exceeded msg rate", "success": False})
                continue
            for symbol in message["params"]["symbol"]:
                result = {"channel": message["params"]["channel"], "symbol": symbol}
                peer.send({"method": "subscribe", "success": True, "result": result})

    with running(script) as venue, following(venue, "BTC/USD", name="kraken") as (feed, sink):
        wait_for(lambda: feed.delivered() == {"BTC/USD"})
        assert asked[2] - asked[1] >= QUICK.ack_timeout * 0.9
        assert sink.refusals == []


# -- Coinbase Advanced Trade -------------------------------------------------------------------------------------------


def test_advanced_is_dialled_again_when_messages_of_the_connection_are_missing() -> None:
    with staged("coinbase_advanced") as stage:
        assert isinstance(stage, Streamed)
        with stage.followed() as (feed, sink):
            stage.play(Print(symbol="BTC-USD", n=1))
            wait_for(lambda: sink.ticks)
            left = stage.peer()
            left.__dict__["sequence"] += 3
            wait_for(lambda: feed.counters.reconnects["sequence_gap"] == 1)
            wait_for(lambda: stage.peer() is not left)  # what is written to the old one is lost
            stage.play(Print(symbol="BTC-USD", n=4, price="100.40"))
            wait_for(lambda: "100.40" in texts(sink, "BTC-USD"))
            assert sink.gaps == [("BTC-USD", 2, 3)]


def test_advanced_gets_heartbeats_first_and_one_channel_in_a_message() -> None:
    with staged("coinbase_advanced") as stage:
        assert isinstance(stage, Streamed)
        with stage.followed("BTC-USD", "ETH-USD") as (feed, _):
            wait_for(lambda: feed.delivered() == {"BTC-USD", "ETH-USD"})
            sent = [message for _, message in stage.commands]
            times = stage.command_times
    assert sent[0] == {"type": "subscribe", "channel": "heartbeats"}
    assert [message["channel"] for message in sent[1:3]] == ["market_trades", "ticker"]
    assert all(later - sooner >= 0.99 for sooner, later in zip(times, times[8:], strict=False))


def test_what_trades_against_usdc_is_told_under_its_usd_book() -> None:
    with staged("coinbase_advanced") as stage:
        assert isinstance(stage, Streamed)
        with stage.followed("BTC-USDC") as (feed, sink):
            peer = stage.peer("BTC-USDC")
            peer.products = {"BTC-USD"}
            channels: dict[str, set[str]] = peer.__dict__["channels"]
            for name in ("market_trades", "ticker"):
                channels[name] = {"BTC-USD"}
            stage.tongue.answer(peer, {"type": "subscribe", "channel": "heartbeats"})
            with stage._sending:
                peer.send(*stage.tongue.trade(peer, Print(symbol="BTC-USD", n=5)))
            wait_for(lambda: sink.ticks)
            assert [(tick.symbol, tick.trade_id, tick.bid) for tick in sink.ticks] == [("BTC-USDC", 5, "99.99")]
            feed.add_products(["BTC-USD"])
            wait_for(lambda: "BTC-USD" in feed.products())
            with stage._sending:
                peer.send(*stage.tongue.trade(peer, Print(symbol="BTC-USD", n=6)))
            wait_for(lambda: len(sink.ticks) == 3)
            assert {tick.symbol for tick in sink.ticks[1:]} == {"BTC-USD", "BTC-USDC"}


def test_advanced_trades_come_newest_first_and_go_on_oldest_first() -> None:
    tongue = Advanced()
    with staged("coinbase_advanced") as stage:
        assert isinstance(stage, Streamed)
        with stage.followed() as (_feed, sink):
            peer = stage.peer()
            stamp = iso(time.time())
            trades = [
                {"product_id": "BTC-USD", "trade_id": str(n), "price": f"100.{n}", "size": "1", "time": stamp}
                for n in (12, 11, 10, 9)
            ]
            with stage._sending:
                peer.send(
                    tongue._frame(peer, "market_trades", {"type": "snapshot", "trades": trades[2:]}),
                    tongue._frame(peer, "market_trades", {"type": "update", "trades": trades[:2]}),
                )
            wait_for(lambda: len(sink.ticks) == 3)
            assert sink.ids() == [10, 11, 12]
            assert sink.gaps == []


# -- Alpaca ------------------------------------------------------------------------------------------------------------


def alpaca(*frames: object) -> object:
    """A venue that lets us in, confirms the subscription and then sends these frames."""

    def script(peer: Peer) -> None:
        peer.send([{"T": "success", "msg": "connected"}])
        peer.command()
        peer.send([{"T": "success", "msg": "authenticated"}])
        message = peer.command()
        peer.send([{"T": "subscription", "trades": message["trades"], "quotes": message["quotes"]}])
        peer.send(*frames)
        while True:
            peer.command()
            peer.send([{"T": "subscription", "trades": message["trades"], "quotes": message["quotes"]}])

    return script


def trade(number: int, price: object, *conditions: str) -> dict[str, object]:
    stamp = iso(time.time() + number / 1e5)
    return {"T": "t", "i": number, "S": "AAPL", "x": "V", "p": price, "s": 100, "t": stamp, "c": list(conditions)}


@contextmanager
def alpaca_following(script: object, *products: str, **config: object) -> Iterator[tuple[Feed, Recorder, Venue]]:
    given = {"name": "alpaca", "key": "K", "secret": "S", **config}
    with running(script) as venue, following(venue, *(products or ("AAPL",)), **given) as (feed, sink):
        yield feed, sink, venue


def test_alpacas_corrections_and_cancellations_move_nothing() -> None:
    correction = {"T": "c", "S": "AAPL", "x": "V", "oi": 1, "op": 100.0, "ci": 2, "cp": 250.0, "t": iso(time.time())}
    cancellation = {"T": "x", "S": "AAPL", "i": 1, "x": "V", "p": 250.0, "s": 100, "a": "C", "t": iso(time.time())}
    frames = [[trade(1, 100.0, "@"), correction, cancellation, trade(3, 100.5, "@", "I")]]
    with alpaca_following(alpaca(*frames)) as (feed, sink, _):
        wait_for(lambda: len(sink.ticks) == 2)
        assert texts(sink, "AAPL") == ["100.0", "100.5"]
        assert feed.counters.rejected == {"a correction": 1, "a cancellation": 1}
        assert not any(tick.off_market for tick in sink.ticks)


@pytest.mark.parametrize("condition", list("BCGHLMNPQRUVWZ479"))
def test_reports_that_are_no_price_of_now_are_passed_over(condition: str) -> None:
    frames = [[trade(1, 100.0, "@"), trade(2, 101.0, "@", condition), trade(3, 100.5, "@", "F", "T", "I")]]
    with alpaca_following(alpaca(*frames)) as (feed, sink, _):
        wait_for(lambda: len(sink.ticks) == 2)
        assert texts(sink, "AAPL") == ["100.0", "100.5"]
        assert feed.counters.rejected == {"not a price of now": 1}


def test_an_unknown_kind_in_an_array_costs_its_neighbours_nothing() -> None:
    strange = [trade(1, 100.0), {"T": "lambda", "S": "AAPL"}, {"S": "AAPL"}, 7, {"T": "t", "p": 5}, trade(2, 100.5)]
    with alpaca_following(alpaca(strange, [])) as (feed, sink, _):
        wait_for(lambda: len(sink.ticks) == 2)
        wait_for(lambda: feed.counters.ignored >= 2)
        assert feed.counters.garbage == 3


@pytest.mark.parametrize(
    ("code", "words"), [(402, "auth failed"), (404, "auth timeout"), (406, "connection limit exceeded")]
)
def test_alpaca_that_sends_us_away_is_asked_again_later(code: int, words: str) -> None:
    def script(peer: Peer) -> None:
        peer.send([{"T": "success", "msg": "connected"}])
        peer.command()
        peer.send([{"T": "error", "code": code, "msg": words}])
        peer.receive()

    timings = replace(QUICK, policy_delay=0.5, policy_cap=0.6)
    with alpaca_following(script, timings=timings) as (feed, sink, venue):
        wait_for(lambda: len(venue.dialled) == 2)
        assert feed.counters.reconnects[f"refused_{code}"] >= 1
        assert venue.dialled[1] - venue.dialled[0] >= 0.5
        assert f"refused_{code}" in sink.reasons(FeedStatus.DOWN)


def test_alpacas_limit_of_symbols_refuses_those_beyond_it() -> None:
    granted: set[str] = set()

    def script(peer: Peer) -> None:
        peer.send([{"T": "success", "msg": "connected"}])
        peer.command()
        peer.send([{"T": "success", "msg": "authenticated"}])
        while True:
            named = set(peer.command()["trades"])
            if len(granted | named) > 2:
                peer.send([{"T": "error", "code": 405, "msg": "symbol limit exceeded"}])
                continue
            granted.update(named)
            peer.send([{"T": "subscription", "trades": sorted(granted), "quotes": sorted(granted)}])

    with alpaca_following(script, "AAPL", "MSFT", "SPY") as (feed, sink, _):
        wait_for(lambda: sink.refusals)
        wait_for(lambda: len(feed.delivered()) == 2)
        assert len(sink.refusals) == 1
        assert "symbol limit exceeded" in sink.refusals[0][1]


def test_nothing_is_asked_of_alpaca_before_it_knows_who_we_are() -> None:
    commands = []

    def script(peer: Peer) -> None:
        peer.send([{"T": "success", "msg": "connected"}])
        commands.append(peer.command())
        time.sleep(0.2)
        peer.send([{"T": "success", "msg": "authenticated"}])
        commands.append(peer.command())
        peer.receive()

    with alpaca_following(script):
        wait_for(lambda: len(commands) == 2)
    assert commands == [
        {"action": "auth", "key": "K", "secret": "S"},
        {"action": "subscribe", "trades": ["AAPL"], "quotes": ["AAPL"]},
    ]
    assert "secret" not in json.dumps(commands[1])
