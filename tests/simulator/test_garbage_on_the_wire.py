"""Garbage as it looks to a client that sees every byte."""

import json

import pytest

from apps.simulator import garbage
from tests.simulator.wireclient import BINARY, TEXT, ids, push, unsent


def test_garbage_frames_stand_beside_an_unharmed_stream(exchange, client):
    frames = {}
    for kind in garbage.FRAMES:
        exchange.fault("garbage", kind=kind)
        frames[kind] = client.frame()
    made = push(exchange, "60000.00")
    assert ids(client, 1) == made
    assert frames["binary"] == (BINARY, bytes(range(256)))
    assert frames["array"] == (TEXT, b'["ticker",1,2,3]')
    assert frames["empty"] == (TEXT, b"")
    assert len(frames["huge"][1]) > 5_000_000
    for kind, error in (("not_json", ValueError), ("bad_utf8", UnicodeDecodeError)):
        with pytest.raises(error):
            json.loads(frames[kind][1].decode())


@pytest.mark.parametrize(
    ("kind", "price"),
    [
        ("nan", '"NaN"'),
        ("null", "null"),
        ("negative", '"-1.50"'),
        ("zero", '"0"'),
        ("1e400", '"1e400"'),
        ("1e5", '"1e5"'),
        ("long", '"123456789012345678901234567890"'),
    ],
)
def test_a_garbled_price_replaces_the_true_one_of_the_next_trade(exchange, client, kind, price):
    exchange.fault("garbage", kind=kind)
    made = push(exchange, "60000.00", "60001.00")
    _, payload = client.frame()
    assert f'"price":{price},' in payload.decode()
    assert f'"trade_id":{made[0]}' in payload.decode()
    assert client.message()["price"] == "60001.00"
    assert unsent(exchange) == [[made[0], made[0], "garbage"]]


def test_a_missing_field_is_missing(exchange, client):
    exchange.fault("garbage", kind="missing_field")
    push(exchange, "60000.00")
    message = client.message()
    assert message["type"] == "ticker"
    assert "price" not in message


def test_all_kinds_of_garbage_come_once_each(exchange, client):
    exchange.fault("garbage")
    made = push(exchange, *(f"{60_000 + i}.00" for i in range(len(garbage.MUTATIONS) + 1)))
    for _ in garbage.FRAMES:
        client.frame()
    payloads = [client.frame()[1] for _ in made]
    assert sum(b'"price":"600' in payload for payload in payloads) == 1
    assert unsent(exchange) == [[made[0], made[-2], "garbage"]]
