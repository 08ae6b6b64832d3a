"""What one client may cost the others."""

import asyncio
import json
import socket as sockets
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import redis
from django.db import connection
from redis import asyncio as redis_on_loop
from websockets.exceptions import ConnectionClosed

from apps.journal.services import record
from apps.market.models import Instrument, Quote
from apps.web.gateway.doorbell import Doorbell
from apps.web.gateway.hub import SOCKETS_PER_USER
from apps.web.gateway.outbox import LIMIT, QUOTES_EVERY, Outbox
from tests.gateway.clients import client, eventually, serving
from tests.gateway.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)


def instrument(symbol: str) -> Instrument:
    one = Decimal("0.01")
    currency, _, quote = symbol.partition("-")
    return Instrument.objects.create(
        symbol=symbol, base_currency=currency, quote_currency=quote, tick_size=one, lot_size=one, min_quantity=one
    )


def many_events(account_id: int, count: int, size: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO journal_event (kind, subject, account_id, actor, payload) "
            "SELECT 'position.created', 'x:1', %s, '', jsonb_build_object('text', repeat('x', %s)) "
            "FROM generate_series(1, %s)",
            [account_id, size, count],
        )


def test_a_client_that_does_not_read_is_cut_and_the_others_are_not(site: int, ann: Person, bob: Person) -> None:
    with sockets.socket() as raw:
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 8192)
        raw.connect(("127.0.0.1", site))
        with client(site, token=ann.token, sock=raw, max_queue=1) as slow, client(site, token=ann.token) as other:
            slow.subscribe("positions")
            other.subscribe("exits")
            many_events(ann.account_id, 6000, 4000)
            number = record("exit.failed", "x:1", account_id=ann.account_id, payload={})
            assert other.until("exit.failed", 20)["event"] == number
            time.sleep(1)
            assert slow.close_code(30) == 4408


def test_a_reader_that_keeps_up_gets_a_burst_and_a_long_replay_whole(site: int, ann: Person) -> None:
    with client(site, token=ann.token) as socket:
        begun = record("account.opened", "x:1", account_id=ann.account_id, payload={})
        many_events(ann.account_id, 3 * LIMIT, 100)
        socket.subscribe("positions", since=begun)
        got = [message["event"] for message in socket.events()]
        assert len(got) == len(set(got)) == 3 * LIMIT


def test_a_message_of_more_than_4_kb_ends_the_socket(site: int, ann: Person) -> None:
    with client(site, token=ann.token) as socket:
        socket.tell(type="ping", padding="x" * 4000)
        assert socket.until("pong")
        socket.tell(type="ping", padding="x" * 4096)
        assert socket.close_code() == 1009


def test_more_than_20_messages_in_a_second_are_not_answered_and_a_flood_ends_the_socket(site: int, ann: Person) -> None:
    with client(site, token=ann.token) as socket:
        socket.next()
        for _ in range(60):
            socket.tell(type="ping")
        answers = [message["type"] for message in socket.events()]
        assert 20 <= answers.count("pong") <= 40
        assert answers.count("error") == 60 - answers.count("pong")
        time.sleep(1)
        socket.tell(type="ping")
        assert socket.next()["type"] == "pong"
        with suppress(ConnectionClosed):
            for _ in range(2000):
                socket.tell(type="ping")
        assert socket.close_code() == 4429


def test_a_user_has_at_most_20_sockets_and_gets_a_place_back_by_closing_one(
    site: int, ann: Person, bob: Person
) -> None:
    with ExitStack() as stack:
        opened = [stack.enter_context(client(site, token=ann.token)) for _ in range(SOCKETS_PER_USER)]
        for socket in opened:
            assert socket.next()["type"] == "welcome"
        with client(site, token=ann.token) as one_more:
            assert one_more.next()["code"] == "too_many_sockets"
            assert one_more.close_code() == 4429
        with client(site, token=bob.token) as other:
            assert other.next()["type"] == "welcome"
        opened[0].raw.close()

        def gets_in() -> bool:
            with client(site, token=ann.token) as socket:
                return bool(socket.next()["type"] == "welcome")

        eventually(gets_in)


def test_quotes_come_from_redis_conflated_and_only_those_asked_for(site: int, ann: Person, redis_url: str) -> None:
    for symbol in ("BTC-USD", "ETH-USD"):
        instrument(symbol)
    with redis.Redis.from_url(redis_url) as publisher, client(site, token=ann.token) as socket:
        socket.subscribe("quotes:BTC-USD")
        begun, sent = time.monotonic(), 0
        while time.monotonic() < begun + 1.5:
            sent += 1
            at = datetime.now(UTC).isoformat()
            quotes = [
                {"instrument": symbol, "price": str(sent), "bid": None, "ask": None, "at": at, "trade_id": sent}
                for symbol in ("BTC-USD", "ETH-USD")
            ]
            publisher.publish("tradingsite:quotes", json.dumps(quotes))
            time.sleep(0.01)
        got = socket.events()
    assert {message["channel"] for message in got} == {"quotes:BTC-USD"}
    assert got[-1]["data"]["price"] == str(sent)
    assert 3 <= len(got) <= 1.5 / QUOTES_EVERY + 3
    assert sent > 5 * len(got)


def test_garbage_from_redis_does_not_end_the_listening(site: int, ann: Person, redis_url: str) -> None:
    quote = {"instrument": "SOL-USD", "price": "61800.3", "bid": None, "ask": None, "at": "2026-01-01", "trade_id": 1}
    with redis.Redis.from_url(redis_url) as publisher, client(site, token=ann.token) as socket:
        socket.subscribe("quotes")
        socket.events()  # those of another test
        for garbage in ("", "{", "[1]", '[{"price": "1"}]', '[{"instrument": {}}]', b"\xff"):
            publisher.publish("tradingsite:quotes", garbage)
            publisher.publish("tradingsite:events", garbage)
        publisher.publish("tradingsite:quotes", json.dumps([quote]))
        assert socket.until("quote")["data"] == quote


def test_without_redis_quotes_come_from_their_table(ann: Person, database_url: str) -> None:
    now, btc = datetime.now(UTC), instrument("BTC-USD")
    price = Decimal("61800.30")
    Quote.objects.create(
        instrument=btc, price=price, low=price, high=price, bid=price, at=now, received_at=now, heard_at=now
    )
    shown = {"instrument": "BTC-USD", "price": "61800.3", "bid": "61800.3", "ask": None, "trade_id": 0}
    environment = {"DATABASE_URL": database_url, "REDIS_URL": "redis://127.0.0.1:1/0"}
    with serving(environment) as port, client(port, token=ann.token) as socket:
        socket.subscribe("quotes")
        assert socket.until("quote")["data"] == shown | {"at": now.isoformat()}
        Quote.objects.update(price=Decimal(61801))
        assert socket.until("quote", 3)["data"]["price"] == "61801"


# --- the outbox alone -----------------------------------------------------------------------------------------------
def test_a_full_outbox_says_so_and_a_replay_waits_for_room() -> None:
    async def story() -> None:
        box, sent = Outbox(), []

        async def send(text: str) -> None:
            sent.append(text)

        assert all(box.put(str(number)) for number in range(LIMIT))
        assert not box.put("one too many")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await box.room()
        writer = asyncio.ensure_future(box.write(send))
        await box.room()
        assert box.put("again")
        await asyncio.sleep(0.05)
        writer.cancel()
        assert sent == [*map(str, range(LIMIT)), "again"]

    asyncio.run(story())


def test_the_doorbell_is_heard_at_once_and_again_after_the_connection_broke(redis_url: str) -> None:
    async def story() -> None:
        heard: list[float] = []
        bell = Doorbell(redis_url, lambda: heard.append(time.monotonic()), lambda quotes: None)
        bell.start()
        async with redis_on_loop.Redis.from_url(redis_url) as publisher:

            async def ring() -> float:
                heard.clear()
                begun = time.monotonic()
                while not heard:
                    await publisher.publish("tradingsite:events", "")
                    await asyncio.sleep(0.01)
                    assert time.monotonic() < begun + 5
                return heard[0] - begun

            await ring()
            assert await ring() < 0.1
            await publisher.client_kill_filter(_type="pubsub")
            await ring()
        await bell.stop()

    asyncio.run(story())


def test_the_server_stops_promptly_although_sockets_are_open(ann: Person, database_url: str) -> None:
    with ExitStack() as sockets_open:
        with serving({"DATABASE_URL": database_url}) as port:
            socket = sockets_open.enter_context(client(port, token=ann.token))
            socket.subscribe("positions", "quotes")
            begun = time.monotonic()
        assert time.monotonic() - begun < 5
        assert socket.close_code() in (1001, 1012)
