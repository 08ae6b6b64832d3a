"""What a client says and what it is answered."""

import json
from collections.abc import Callable
from datetime import datetime

import pytest

from apps.journal.services import record
from tests.gateway.clients import client
from tests.gateway.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_first_message_is_a_welcome_with_the_channels_and_the_last_event(site: int, ann: Person) -> None:
    last = record("position.created", "position:1", account_id=ann.account_id, payload={})
    with client(site, token=ann.token) as socket:
        welcome = socket.next()
    assert welcome["type"] == "welcome"
    assert welcome["last_event"] == last
    assert {"positions", "exits", "events", "system", "quotes"} <= set(welcome["channels"])
    assert datetime.fromisoformat(welcome["timestamp"]).tzinfo is not None


def test_an_event_carries_its_number_channel_time_and_payload(site: int, ann: Person) -> None:
    with client(site, token=ann.token) as socket:
        assert socket.subscribe("positions")["channels"] == ["positions"]
        number = record(
            "position.closed", "position:7", account_id=ann.account_id, payload={"position": 7, "exit_price": "1.50"}
        )
        message = socket.until("position.closed")
    assert message["event"] == number
    assert message["channel"] == "positions"
    assert message["subject"] == "position:7"
    assert message["data"] == {"position": 7, "exit_price": "1.50"}
    assert datetime.fromisoformat(message["timestamp"]).tzinfo is not None


def test_only_what_is_subscribed_to_arrives_and_only_until_it_is_unsubscribed(site: int, ann: Person) -> None:
    def happen() -> None:
        for kind in ("position.created", "exit.failed", "account.deposited"):
            record(kind, "position:1", account_id=ann.account_id, payload={})

    with client(site, token=ann.token) as socket:
        socket.subscribe("exits")
        happen()
        assert [message["type"] for message in socket.events()] == ["exit.failed"]
        socket.tell(type="subscribe", channel="positions")
        assert socket.until("subscribed")["channels"] == ["exits", "positions"]
        socket.tell(type="unsubscribe", channels=["exits"])
        assert socket.until("subscribed")["channels"] == ["positions"]
        happen()
        assert [message["type"] for message in socket.events()] == ["position.created"]


def test_an_event_of_two_subscribed_channels_comes_once_on_the_more_particular(site: int, ann: Person) -> None:
    with client(site, token=ann.token) as socket:
        socket.subscribe("events", "positions", "exits")
        record("position.closed", "position:1", account_id=ann.account_id, payload={})
        record("account.deposited", "account:1", account_id=ann.account_id, payload={})
        got = [(message["type"], message["channel"]) for message in socket.events()]
    assert got == [("position.closed", "positions"), ("account.deposited", "events")]


BAD = {
    "not JSON": ("{", "malformed"),
    "no object": ("[1]", "malformed"),
    "nested beyond reason": ("[" * 4000, "malformed"),
    "no type": ("{}", "malformed"),
    "a number for a type": ('{"type": 1}', "malformed"),
    "unknown type": ('{"type": "order"}', "unknown_type"),
    "unknown channel": ('{"type": "subscribe", "channels": ["secrets"]}', "unknown_channel"),
    "unknown instrument": ('{"type": "subscribe", "channel": "quotes:NO-SUCH"}', "unknown_channel"),
    "no channel": ('{"type": "subscribe"}', "no_channel"),
    "channels of another kind": ('{"type": "subscribe", "channels": {"a": 1}}', "malformed"),
    "NaN": ('{"type": "subscribe", "channels": ["events"], "since": NaN}', "malformed"),
    "a negative number": ('{"type": "subscribe", "channels": ["events"], "since": -1}', "malformed"),
    "a number beyond the database's": ('{"type": "subscribe", "channels": ["events"], "since": 1e30}', "malformed"),
    "an event to come": ('{"type": "subscribe", "channels": ["events"], "since": 9000000000}', "unknown_event"),
    "a NUL": ('{"type": "subscribe", "channels": ["quotes:\\u0000"]}', "unknown_channel"),
    "half a character": ('{"type": "\\ud800"}', "malformed"),
    "a second introduction": ('{"type": "auth", "token": "x"}', "authenticated"),
}


@pytest.mark.parametrize(("text", "code"), BAD.values(), ids=BAD)
def test_what_makes_no_sense_is_answered_and_the_socket_stays(site: int, ann: Person, text: str, code: str) -> None:
    with client(site, token=ann.token) as socket:
        socket.next()
        socket.raw.send(text)
        answer = socket.next()
        assert (answer["type"], answer["code"]) == ("error", code)
        assert answer["message"]
        assert answer["remedy"]
        socket.tell(type="ping")
        assert socket.next()["type"] == "pong"


def test_a_binary_frame_is_answered_and_the_socket_stays(site: int, ann: Person) -> None:
    with client(site, token=ann.token) as socket:
        socket.next()
        socket.raw.send(json.dumps({"type": "ping"}).encode())
        assert socket.next()["code"] == "malformed"
        socket.tell(type="ping")
        assert socket.next()["type"] == "pong"


def test_what_belongs_to_no_account_is_on_the_system_channel_of_superusers(
    site: int, ann: Person, root: Person, person: Callable[..., Person]
) -> None:
    with client(site, token=ann.token) as hers, client(site, token=root.token) as theirs:
        hers.subscribe("system", "events")
        theirs.subscribe("system")
        record("listener.led", "listener:0", payload={"epoch": 3})
        assert theirs.until("listener.led")["channel"] == "system"
        assert hers.events() == []
