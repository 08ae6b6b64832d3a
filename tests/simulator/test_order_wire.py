"""The private API in Advanced Trade's dialect, asked with bare HTTP requests and tokens made by the test."""

import os
import re
import signal
import subprocess
import sys

import pytest
import requests

from apps.simulator.exchange import SimExchange
from tests.simulator.advancedclient import BASE, Client, packed

LIMIT, STOP = "limit_limit_gtc", "stop_limit_stop_limit_gtc"


@pytest.fixture
def exchange():
    with SimExchange(products="BTC-USD=100.00", rate=None) as running:
        running.push("BTC-USD", "100.00")
        yield running


@pytest.fixture
def client(exchange):
    return Client(exchange, exchange.open_account("tester", {"USD": "100000", "BTC": "10"}))


class TestTokens:
    """Who asks is proved by a token for this request, at this time, by this key."""

    def test_a_good_token_opens_the_door(self, client):
        assert client.ask("GET", "/accounts").status_code == 200

    @pytest.mark.parametrize(
        ("claims", "head", "words"),
        [
            ({"uri": f"GET api.coinbase.com{BASE}/orders"}, {}, "for another request"),
            ({"nbf": 0, "exp": 120}, {}, "not valid at this time"),
            ({"exp": 4_000_000_000}, {}, "not valid at this time"),
            ({"sub": "somebody"}, {}, "the key is unknown"),
            ({"iss": "me"}, {}, "the key is unknown"),
            ({"nbf": "now"}, {}, "cannot be read"),
            ({}, {"kid": "organizations/simulated/apiKeys/main"}, "the key is unknown"),
            ({}, {"alg": "none"}, "ES256"),
        ],
    )
    def test_any_other_token_does_not(self, client, claims, head, words):
        client.claims, client.head = claims, head
        answer = client.ask("GET", "/accounts")
        assert (answer.status_code, words in answer.text) == (401, True), answer.text

    def test_a_changed_token_does_not(self, client, exchange):
        head, _, signature = client.token("GET", f"{BASE}/accounts").split(".")
        for token in ("", "a.b", f"{head}.{packed({'sub': 'x'})}.{signature}", "=.=.="):
            headers = {"Authorization": f"Bearer {token}"}
            assert requests.get(f"{exchange.rest_url}{BASE}/accounts", headers=headers, timeout=5).status_code == 401

    def test_the_key_of_another_account_sees_nothing_of_this_one(self, client, exchange):
        order_id = client.placed("mine")
        other = Client(exchange, exchange.account())
        assert other.get("/orders/historical/batch")["orders"] == []
        assert other.ask("GET", f"/orders/historical/{order_id}").status_code == 404

    def test_a_clock_far_off_closes_the_door_and_the_time_tells_why(self, client, exchange):
        exchange.fault("clock_skew:600")
        assert client.ask("GET", "/accounts").status_code == 401
        told = int(requests.get(f"{exchange.rest_url}{BASE}/time", timeout=5).json()["epochSeconds"])
        client.claims = {"nbf": told, "exp": told + 120}
        assert client.ask("GET", "/accounts").status_code == 200


class TestOrders:
    def test_a_filled_order_looks_as_at_the_venue(self, client):
        answer = client.place("first")
        assert answer["success_response"]["client_order_id"] == "first"
        order = client.order(answer["success_response"]["order_id"])
        assert {key: order[key] for key in ("status", "filled_size", "average_filled_price", "total_fees", "side")} == {
            "status": "FILLED", "filled_size": "1", "average_filled_price": "100.00", "total_fees": "0.20000000",
            "side": "BUY",
        }  # fmt: skip
        (fill,) = client.get("/orders/historical/fills", order_ids=order["order_id"])["fills"]
        assert (fill["price"], fill["size"], fill["commission"]) == ("100.00", "1", "0.20000000")
        assert fill["liquidity_indicator"] == "TAKER"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", fill["trade_time"])

    def test_a_client_id_used_twice_returns_the_first_order(self, client, exchange):
        assert client.placed("twice") == client.placed("twice")
        assert len(exchange.orders()) == 1

    @pytest.mark.parametrize(
        ("configuration", "terms", "reason"),
        [
            ("market_market_ioc", {"base_size": "100000"}, "INSUFFICIENT_FUND"),
            ("market_market_ioc", {"base_size": "0.000000001"}, "INVALID_SIZE_PRECISION"),
            ("market_market_ioc", {"base_size": "one"}, "INVALID_REQUEST"),
            ("market_market_ioc", {"base_size": 1}, "INVALID_REQUEST"),
            (LIMIT, {"limit_price": "99.999"}, "INVALID_PRICE_PRECISION"),
            (LIMIT, {"limit_price": "101", "post_only": True}, "INVALID_LIMIT_PRICE_POST_ONLY"),
            ("trailing", {}, "UNSUPPORTED_ORDER_CONFIGURATION"),
        ],
    )
    def test_a_refused_order_is_answered_with_200_and_a_reason(self, client, exchange, configuration, terms, reason):
        answer = client.place("no", configuration, **terms)
        assert (answer["success"], answer["error_response"]["new_order_failure_reason"]) == (False, reason)
        assert exchange.orders() == []

    def test_a_stop_on_the_wrong_side_fails_the_preview(self, client):
        terms = {"limit_price": "120", "stop_price": "120", "stop_direction": "STOP_DIRECTION_STOP_DOWN"}
        error = client.place("no", STOP, "SELL", **terms)["error_response"]
        assert error["preview_failure_reason"] == "PREVIEW_STOP_PRICE_ABOVE_LAST_TRADE_PRICE"

    def test_cancels_are_answered_one_by_one(self, client):
        works, filled = client.placed("works", LIMIT, limit_price="90"), client.placed("filled")
        results = client.post("/orders/batch_cancel", {"order_ids": [works, filled, "nobody", works]})["results"]
        assert [(row["success"], row["failure_reason"]) for row in results] == [
            (True, "UNKNOWN_CANCEL_FAILURE_REASON"), (False, "ORDER_IS_FULLY_FILLED"),
            (False, "UNKNOWN_CANCEL_ORDER"), (False, "INVALID_CANCEL_REQUEST"),
        ]  # fmt: skip
        assert client.order(works)["status"] == "CANCELLED"

    def test_an_edit_changes_what_rests_and_nothing_else(self, client):
        order_id = client.placed("works", LIMIT, limit_price="90")
        assert client.post("/orders/edit", {"order_id": order_id, "price": "91", "size": "2"})["success"]
        terms = client.order(order_id)["order_configuration"][LIMIT]
        assert (terms["limit_price"], terms["base_size"]) == ("91", "2")
        for wrong, reason in (
            (client.placed("filled"), "ORDER_TYPE_NOT_SUPPORTED"), ("nobody", "ORDER_NOT_FOUND"),
        ):  # fmt: skip
            answer = client.post("/orders/edit", {"order_id": wrong, "price": "91", "size": "2"})
            assert answer["errors"] == [{"edit_failure_reason": reason}]

    def test_orders_and_fills_come_in_pages_newest_first(self, client):
        ids = [client.placed(f"o{number}") for number in range(5)]
        for resource, rows, name in (
            ("/orders/historical/batch", "orders", "order_id"), ("/orders/historical/fills", "fills", "order_id"),
        ):  # fmt: skip
            seen, cursor = [], ""
            while True:
                page = client.get(resource, limit=2, **({"cursor": cursor} if cursor else {}))
                seen += [row[name] for row in page[rows]]
                assert len(page[rows]) <= 2
                cursor = page["cursor"]
                if not cursor:
                    break
            assert seen == ids[::-1]

    def test_the_open_filter_leaves_pending_orders_out_and_stands_alone(self, client, exchange):
        works = client.placed("works", LIMIT, limit_price="90")
        exchange.fault("order_pending:seconds=60")
        pending = client.placed("pending", LIMIT, limit_price="90")
        listed = lambda status: [  # noqa: E731 - asked twice
            row["order_id"] for row in client.get("/orders/historical/batch", order_status=status)["orders"]
        ]
        assert (listed("OPEN"), listed("PENDING")) == ([works], [pending])
        params = [("order_status", "OPEN"), ("order_status", "PENDING")]
        assert client.ask("GET", "/orders/historical/batch", params=params).status_code == 400

    def test_balances_show_what_orders_hold(self, client):
        client.placed("sell", LIMIT, "SELL", limit_price="120", base_size="4")
        rows = {row["currency"]: row for row in client.get("/accounts")["accounts"]}
        assert (rows["BTC"]["available_balance"]["value"], rows["BTC"]["hold"]["value"]) == ("6", "4")

    def test_a_key_without_the_right_to_trade_can_look_and_not_place(self, exchange):
        client = Client(exchange, exchange.open_account("viewer", can_trade=False, can_transfer=True))
        told = client.get("/key_permissions")
        assert (told["can_view"], told["can_trade"], told["can_transfer"]) == (True, False, True)
        assert client.ask("POST", "/orders", json={}).status_code == 403
        assert client.ask("POST", "/orders/batch_cancel", json={"order_ids": ["x"]}).status_code == 403

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
    def test_a_body_that_is_no_object_is_a_bad_request(self, client, body):
        assert client.ask("POST", "/orders", data=body).status_code == 400


class TestControl:
    def test_accounts_are_opened_by_code_and_by_address(self, exchange):
        url = f"{exchange.rest_url}/_sim/accounts"
        made = requests.post(url, json={"name": "other", "balances": {"EUR": "5"}}, timeout=5).json()
        assert made == exchange.account("other")
        assert {row["name"] for row in requests.get(url, timeout=5).json()} == {"main", "other"}
        for wrong in ({"name": "a b"}, {"name": "x", "balances": {"EUR": "-1"}}, {"nome": "x"}, {}):
            assert requests.post(url, json=wrong, timeout=5).status_code == 400

    def test_the_truth_about_orders_is_told_whatever_faults_say(self, client, exchange):
        exchange.fault("order_lost:seconds=60")
        order_id = client.placed("hidden")
        assert client.ask("GET", f"/orders/historical/{order_id}").status_code == 404
        (row,) = requests.get(f"{exchange.rest_url}/_sim/orders", timeout=5).json()
        assert (row["client_id"], row["stage"], row["filled"]) == ("hidden", "filled", "1")


def test_a_killed_exchange_comes_back_with_its_orders(tmp_path):
    def started():
        command = [sys.executable, "-m", "apps.simulator", "--json", "--products=BTC-USD=100.00", "--rate=none",
                   f"--orders-file={tmp_path / 'orders'}"]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        address = re.search(r'"rest": ?"([^"]+)"', process.stdout.readline())[1]
        return process, address

    def client_at(address):
        (main,) = requests.get(f"{address}/_sim/accounts", timeout=5).json()
        reached = type("Reached", (), {"rest_url": address})()
        return Client(reached, main)

    process, address = started()
    try:
        order_id = client_at(address).placed("kept", LIMIT, limit_price="90")
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=10)
        process, address = started()
        client = client_at(address)
        assert client.order(order_id)["status"] == "OPEN"
        assert client.placed("kept", LIMIT, limit_price="90") == order_id
        requests.post(f"{address}/_sim/trades", json={"product_id": "BTC-USD", "price": "89.00"}, timeout=5)
        assert client.order(order_id)["status"] == "FILLED"
    finally:
        process.kill()
        process.communicate(timeout=10)
