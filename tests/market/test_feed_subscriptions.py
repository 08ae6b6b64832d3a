"""One product that the venue does not know, or does not answer for, never costs the others their prices."""

import time
from dataclasses import replace

import pytest

from apps.market.feeds.subscriptions import SILENT_ASKS, Subscriptions
from tests.market.following import QUICK, following, wait_for
from tests.market.venue import Peer, heartbeat, running, ticker


def strict(*unknown: str, names: bool = True, text: str = "{} is not a valid product") -> object:
    """A venue that refuses a whole subscribe message for one unknown product."""

    def script(peer: Peer) -> None:
        while True:
            asked = [str(symbol) for symbol in peer.command()["product_ids"]]
            bad = [symbol for symbol in asked if symbol in unknown]
            if bad:
                reason = text.format(bad[0]) if names else "something about a product"
                peer.send({"type": "error", "message": "Failed to subscribe", "reason": reason})
                continue
            peer.products |= set(asked)
            peer.ack()
            for symbol in asked:
                peer.send(ticker(symbol, 1), heartbeat(symbol, 1))

    return script


@pytest.mark.parametrize("names", [True, False], ids=["named in the error", "not named"])
@pytest.mark.parametrize("unknown", [("DOGE-XXX",), ("DOGE-XXX", "AAA-BBB")], ids=["one", "two"])
def test_unknown_products_are_refused_and_the_others_go_on(unknown: tuple[str, ...], names: bool) -> None:
    good = [f"P{number}-USD" for number in range(8)]
    with (
        running(strict(*unknown, names=names)) as venue,
        following(venue, *good[:4], *unknown, *good[4:]) as (
            feed,
            sink,
        ),
    ):
        wait_for(lambda: {tick.symbol for tick in sink.ticks} == set(good) and len(sink.refusals) == len(unknown))
        assert {symbol for symbol, _ in sink.refusals} == set(unknown)
        assert all("Failed to subscribe" in reason for _, reason in sink.refusals)
        assert feed.products() == {*good, *unknown}
        assert feed.delivered() == set(good)
        assert feed.counters.sessions == 1
        time.sleep(0.3)
        assert len(sink.refusals) == len(unknown), "a refused product is not asked for again and again"


def test_a_product_whose_name_begins_like_the_unknown_one_is_not_refused() -> None:
    with running(strict("BTC-USDX")) as venue, following(venue, "BTC-USD", "BTC-USDX") as (_, sink):
        wait_for(lambda: sink.ticks and sink.refusals)
        assert [symbol for symbol, _ in sink.refusals] == ["BTC-USDX"]
        assert {tick.symbol for tick in sink.ticks} == {"BTC-USD"}


def test_a_refused_product_is_tried_again_in_the_next_session_and_alone() -> None:
    def first(peer: Peer) -> None:
        asked = peer.command()
        peer.send({"type": "error", "message": "Failed to subscribe", "reason": "B-USD is not a valid product"})
        asked = peer.command()
        peer.products |= set(asked["product_ids"])
        peer.ack()
        peer.send(ticker("A-USD", 1))

    def second(peer: Peer) -> None:
        while True:
            for symbol in peer.subscribe()["product_ids"]:
                peer.send(ticker(symbol, 2))

    with running(first, second) as venue, following(venue, "A-USD", "B-USD", "C-USD") as (feed, sink):
        wait_for(lambda: {tick.symbol for tick in sink.ticks if tick.trade_id == 2} == {"A-USD", "B-USD", "C-USD"})
        asked = [command["product_ids"] for number, command in venue.commands if number == 2]
        assert asked == [["A-USD", "C-USD"], ["B-USD"]]
        assert feed.delivered() == {"A-USD", "B-USD", "C-USD"}


def test_subscribe_messages_are_batched_spaced_and_name_both_channels() -> None:
    symbols = [f"P{number:03}-USD" for number in range(250)]
    with running(strict()) as venue, following(venue, *symbols) as (feed, sink):
        wait_for(lambda: len(feed.delivered()) == 250)
        wait_for(lambda: len(sink.ticks) == 250)
    commands = [command for _, command in venue.commands]
    assert [len(command["product_ids"]) for command in commands] == [100, 100, 50]
    assert all(command["channels"] == ["ticker", "heartbeat"] for command in commands)
    assert all(command["type"] == "subscribe" for command in commands)


def test_even_one_by_one_the_venues_message_limit_is_kept() -> None:
    symbols = [f"P{number:03}-USD" for number in range(12)]
    spaced = replace(QUICK, frame_spacing=0.03)
    with (
        running(strict("DOGE-XXX", names=False)) as venue,
        following(venue, *symbols, "DOGE-XXX", timings=spaced) as (feed, sink),
    ):
        wait_for(lambda: len(feed.delivered()) == 12 and sink.refusals)
    assert [len(command["product_ids"]) for _, command in venue.commands] == [13] + [1] * 13
    assert venue.command_times[-1] - venue.command_times[0] >= 13 * 0.03 * 0.9


def test_products_come_and_go_while_running() -> None:
    with running(strict()) as venue, following(venue, "A-USD") as (feed, sink):
        wait_for(lambda: "A-USD" in feed.delivered())
        feed.add_products(["B-USD"])
        wait_for(lambda: sink.ids("B-USD") == [1])
        feed.remove_products(["A-USD"])
        assert feed.products() == {"B-USD"}
        wait_for(lambda: venue.commands[-1][1]["type"] == "unsubscribe")
        assert venue.commands[-1][1]["product_ids"] == ["A-USD"]


def test_prices_of_a_removed_product_are_dropped_and_counted() -> None:
    def script(peer: Peer) -> None:
        peer.subscribe()
        peer.send(ticker("A-USD", 1))
        peer.command()
        peer.send(ticker("A-USD", 2), ticker("B-USD", 1))
        peer.receive()

    with running(script) as venue, following(venue, "A-USD", "B-USD") as (feed, sink):
        wait_for(lambda: sink.ids("A-USD"))
        feed.remove_products(["A-USD"])
        wait_for(lambda: sink.ids("B-USD"))
        assert sink.ids("A-USD") == [1]
        assert feed.counters.unknown_product == 1


def test_a_missing_acknowledgement_is_asked_for_again_and_told() -> None:
    def deaf(peer: Peer) -> None:
        while True:
            peer.command()
            peer.send(heartbeat("OTHER-USD", 0))

    with running(deaf) as venue, following(venue, "A-USD") as (feed, sink):
        wait_for(lambda: len(venue.commands) >= SILENT_ASKS + 1)
        wait_for(lambda: sink.refusals)
        assert sink.refusals == [("A-USD", "the venue does not answer the subscription")]
        assert feed.delivered() == frozenset()


def test_a_partial_acknowledgement_is_completed() -> None:
    def partial(peer: Peer) -> None:
        peer.subscribe(ack=False)
        peer.ack({"A-USD"})
        peer.send(ticker("A-USD", 1))
        peer.hold()

    with running(partial) as venue, following(venue, "A-USD", "B-USD") as (feed, _):
        wait_for(lambda: feed.delivered() == {"A-USD", "B-USD"})
        assert [command["product_ids"] for _, command in venue.commands] == [["A-USD", "B-USD"], ["B-USD"]]


def test_data_without_an_acknowledgement_is_good_enough() -> None:
    def terse(peer: Peer) -> None:
        peer.command()
        while True:
            peer.send(heartbeat("A-USD", 0))
            time.sleep(0.03)

    with running(terse) as venue, following(venue, "A-USD") as (feed, sink):
        wait_for(lambda: len(sink.beats) > 15)
        assert len(venue.commands) == 1
        assert feed.delivered() == {"A-USD"}


def test_one_product_that_falls_silent_alone_is_subscribed_again() -> None:
    def forgetful(peer: Peer) -> None:
        peer.subscribe()
        peer.send(heartbeat("A-USD", 0), heartbeat("B-USD", 0))
        peer.connection.settimeout(0.05)
        while True:
            peer.send(heartbeat("A-USD", 0))
            try:
                peer.subscribe()
            except TimeoutError:
                continue

    slow = replace(QUICK, product_timeout=0.3)
    with running(forgetful) as venue, following(venue, "A-USD", "B-USD", timings=slow):
        wait_for(lambda: len(venue.commands) >= 2)
        assert venue.commands[1][1]["product_ids"] == ["B-USD"]
        assert len(venue.dialled) == 1


def test_too_many_messages_is_a_pause_not_a_verdict() -> None:
    def busy(peer: Peer) -> None:
        peer.command()
        peer.send({"type": "error", "message": "Failed to subscribe", "reason": "Rate limit exceeded"})
        peer.hold()

    with running(busy) as venue, following(venue, "A-USD") as (feed, sink):
        wait_for(lambda: feed.delivered() == {"A-USD"})
        assert not sink.refusals
        assert len(venue.commands) == 2


def test_an_error_about_something_else_refuses_nothing() -> None:
    def script(peer: Peer) -> None:
        peer.command()
        peer.send({"type": "error", "message": "ErrSlowConsume", "reason": "you read too slowly"})
        peer.send(heartbeat("A-USD", 0))
        peer.hold()

    with running(script) as venue, following(venue, "A-USD") as (feed, sink):
        wait_for(lambda: feed.delivered() == {"A-USD"})
        assert feed.counters.errors == 1
        assert not sink.refusals


def test_a_failed_farewell_refuses_nobody() -> None:
    def script(peer: Peer) -> None:
        peer.subscribe()
        peer.subscribe(ack=False)
        peer.send({"type": "error", "message": "Failed to unsubscribe", "reason": "B-USD is not subscribed"})
        peer.ack()
        peer.hold()

    with running(script) as venue, following(venue, "A-USD") as (feed, sink):
        wait_for(lambda: feed.delivered() == {"A-USD"})
        feed.add_products(["C-USD"])
        wait_for(lambda: feed.delivered() == {"A-USD", "C-USD"})
        assert feed.counters.errors == 1
        assert not sink.refusals


def test_a_product_that_vanishes_from_the_venues_list_is_asked_for_again() -> None:
    def script(peer: Peer) -> None:
        peer.subscribe()
        peer.ack({"A-USD"})
        peer.hold()

    with running(script) as venue, following(venue, "A-USD", "B-USD") as (feed, _):
        wait_for(lambda: len(venue.commands) == 2)
        assert venue.commands[1][1]["product_ids"] == ["B-USD"]
        wait_for(lambda: feed.delivered() == {"A-USD", "B-USD"})


def test_an_answer_that_comes_late_changes_nothing_for_a_product_that_left() -> None:
    wishes = Subscriptions(timings=QUICK, batch=10)
    wishes.add(["A-USD", "B-USD"])
    assert wishes.next_batch(0.0) == (["A-USD", "B-USD"], [])
    wishes.remove(["A-USD"])
    assert wishes.failed({"A-USD"}, 0.1) == []
    assert wishes.wanted() == {"B-USD"}
    assert wishes.next_batch(0.2) == (["B-USD"], [])
    wishes.acknowledged({"A-USD"}, 0.3)
    assert wishes.delivered() == frozenset()
    assert wishes.next_leaving() == ["A-USD"]
    assert wishes.next_leaving() == []
