"""Faults are ordered, planned, listed and cleared, on the feed and on its REST side."""

import time

import pytest
import requests

from apps.simulator.exchange import SimExchange
from tests.simulator.wireclient import WireClient, ids, push

# REST


def test_rate_limit_answers_429_for_a_while(exchange):
    exchange.fault("rate_limit", seconds=0.5)
    answer = requests.get(exchange.rest_url + "/time", timeout=5)
    assert answer.status_code == 429
    assert answer.json() == {"message": "Public rate limit exceeded"}
    assert answer.headers["Retry-After"] == "1"
    time.sleep(0.6)
    assert requests.get(exchange.rest_url + "/time", timeout=5).status_code == 200


def test_rest_status_and_rest_silence(exchange):
    exchange.fault("rest_status", status=502, count=1)
    answer = requests.get(exchange.rest_url + "/time", timeout=5)
    assert answer.status_code == 502
    with pytest.raises(ValueError):
        answer.json()
    exchange.fault("rest_silence")
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(exchange.rest_url + "/time", timeout=0.5)
    assert requests.get(exchange.rest_url + "/time", timeout=5).status_code == 200


# Ordering faults


def test_clear_ends_stalls_and_everything_switched_on(exchange, client):
    for text in ("reorder:5", "gap:100", "rate_limit:60", "ack_missing:9", "stall"):
        exchange.fault(text)
    exchange.fault("clear")
    made = push(exchange, "60000.00")
    assert ids(client, 1) == made
    assert requests.get(exchange.rest_url + "/time", timeout=5).status_code == 200
    assert client.subscribe("matches")["type"] == "subscriptions"


def test_faults_can_be_planned_for_a_second_and_for_a_trade():
    faults = ("gap@3t:1", "close@1.0:1012,planned")
    with SimExchange(products="BTC-USD", rate=None, faults=faults) as exchange, WireClient(exchange.port) as client:
        client.listen("ticker")
        made = push(exchange, *(f"{60_000 + i}.00" for i in range(4)))
        assert ids(client, 3) == [made[0], made[1], made[3]]
        assert client.close_frame() == (1012, "planned")
        first, second = exchange.journal()["faults"]
        assert (first["fault"], second["fault"]) == ("gap", "close")
        assert second["at_seconds"] == pytest.approx(1.0, abs=0.3)


def test_faults_are_ordered_and_listed_over_http(exchange, client):
    url = exchange.rest_url + "/_sim/faults"
    assert requests.post(url, json={"fault": "gap", "count": 1}, timeout=5).json()["status"] == "executed"
    assert requests.post(url, json={"fault": "drop@999"}, timeout=5).json()["status"] == "planned"
    assert requests.post(url, json={"fault": "gap", "args": {"count": 1}}, timeout=5).json()["args"]["count"] == 1
    made = push(exchange, "60000.00", "60001.00", "60002.00")
    assert ids(client, 1) == made[2:]
    listed = requests.get(url, timeout=5).json()
    assert {"drop", "stall", "garbage"} <= {row["fault"] for row in listed["catalogue"]}
    assert listed["waiting"] == [{"fault": "drop", "args": {}, "at_seconds": 999.0}]
    assert [row["fault"] for row in listed["executed"]] == ["gap", "gap"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"fault": "explode"}, "is unknown"),
        ({"fault": "gap", "count": -1}, "count must be at least 1"),
        ({"fault": "gap", "count": True}, "count must be"),
        ({"fault": "gap", "product": "NO-USD"}, "'NO-USD' is not a valid product"),
        ({"fault": "garbage", "kind": "x"}, "garbage 'x' is unknown"),
        ({"fault": "gap", "args": 3}, "args must be an object"),
        ({}, "fault is missing"),
        ([], "must be a JSON object"),
    ],
)
def test_wrong_orders_are_refused_and_not_journalled(exchange, body, words):
    answer = requests.post(exchange.rest_url + "/_sim/faults", json=body, timeout=5)
    assert answer.status_code == 400
    assert words in answer.json()["message"]
    assert exchange.journal()["faults"] == []
