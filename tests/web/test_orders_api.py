"""Orders over the API: placed, told, changed and taken back; and why they were made."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission

from apps.access.models import Scope
from apps.access.roles import VIEWER
from apps.trading.models import Decision, Order, Position
from tests.web import worlds
from tests.web.conftest import Caller, caller_for, make_account, make_instrument, make_user

URL = "/api/v1/orders"
BRACKET = {**worlds.LIMIT_ORDER, "stop_loss": "60000", "take_profit": "65000", "tif": "gtc", "due_at": 3600}


def sends(caller: Caller, body: dict[str, Any], key: str) -> Any:
    return caller.post(URL, body, **{"idempotency-key": key})


def test_a_bracket_is_placed_as_an_order_and_shown_with_its_life(ada: Caller) -> None:
    answer = ada.post(URL, BRACKET)
    assert answer.status_code == 201, answer.content
    got = answer.json()
    assert got["position"] is None
    placed = got["order"]
    assert answer.headers["Location"].endswith(f"{URL}/{placed['id']}")
    assert (placed["kind"], placed["side"], placed["limit_price"]) == ("limit", "buy", "61000")
    assert (placed["status"], placed["filled"], placed["purpose"]) == ("new", "0", "entry")
    assert placed["due_at"] is not None
    assert len(Order.objects.get().legs) == 2
    shown = ada.get(f"{URL}/{placed['id']}")
    assert shown.headers["ETag"] == f'"{placed["version"]}"'
    assert [event["kind"] for event in shown.json()["events"]] == ["order.created"]
    assert shown.json()["fills"] == []
    why = ada.get(f"/api/v1/decisions/{placed['decision']}").json()
    assert (why["approved"], why["orders"], why["source"]) == (True, [placed["id"]], "api")


def test_a_market_order_of_an_account_that_fills_by_itself_is_a_position_at_once(ada: Caller) -> None:
    answer = ada.post(URL, {"instrument": "BTC-USD", "side": "long", "quantity": "0.5", "stop_loss": "60000"})
    assert answer.status_code == 201
    assert answer.json()["order"] is None
    assert answer.json()["position"]["status"] == "open"
    assert "/positions/" in answer.headers["Location"]


def test_a_position_at_a_broker_is_answered_with_its_order(ada: Caller) -> None:
    worlds.at_broker(ada)
    body = {"instrument": "BTC-USD", "side": "long", "quantity": "0.5", "stop_loss": "60000"}
    answer = ada.post("/api/v1/positions", body, **{"idempotency-key": "k"})
    assert answer.status_code == 202, answer.content
    order = answer.json()["order"]
    assert (order["kind"], order["status"], answer.json()["position"]) == ("market", "new", None)
    assert answer.headers["Location"].endswith(f"{URL}/{order['id']}")
    again = ada.post("/api/v1/positions", body, **{"idempotency-key": "k"})
    assert (again.status_code, again.json()["order"]["id"]) == (202, order["id"])
    assert (Order.objects.count(), Position.objects.count()) == (1, 0)


def test_a_key_that_comes_again_enters_nothing_new_and_another_body_is_refused(ada: Caller) -> None:
    first = sends(ada, BRACKET, "k")
    again = sends(ada, BRACKET, "k")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["order"]["id"] == first.json()["order"]["id"]
    other = sends(ada, {**BRACKET, "limit_price": "60900"}, "k")
    assert other.status_code == 422
    assert f"order {first.json()['order']['id']}" in other.json()["errors"][0]["rule"]
    assert Order.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"limit_price": None}, "limit_price"),
        ({"stop_price": "61500"}, "stop_price"),
        ({"limit_price": "61000.001"}, "limit_price"),
        ({"tif": "gtd"}, "expires_at"),
        ({"kind": "iceberg"}, "kind"),
        ({"due_at": "2020-01-01T00:00:00Z"}, "due_at"),
        ({"quantity": "100000"}, "quantity"),
    ],
)
def test_a_wrong_order_names_its_field_and_stores_nothing(ada: Caller, change: dict[str, Any], field: str) -> None:
    answer = ada.post(URL, {**worlds.LIMIT_ORDER, **change})
    assert answer.status_code == 400
    assert field in [problem["field"] for problem in answer.json()["errors"]]
    assert not Order.objects.exists()


def test_a_refusal_by_a_limit_says_why_not(ada: Caller) -> None:
    worlds.limit("max_order_value", amount=10.0)
    assert ada.post(URL, worlds.LIMIT_ORDER).status_code == 400
    (refused,) = ada.get("/api/v1/decisions?approved=false&instrument=BTC-USD").json()["results"]
    assert [(row["rule"], row["allowed"]) for row in refused["verdicts"]] == [("max_order_value", False)]
    assert refused["orders"] == []
    assert ada.get("/api/v1/decisions?approved=true").json()["total"] == 0


def test_lists_are_filtered_and_only_of_one_s_own(ada: Caller, bob: Caller) -> None:
    order = worlds.order(ada)
    ada.open(quantity="0.01")
    for query, count in (("", 1), ("?working=true", 1), ("?working=false", 0), ("?kind=stop", 0), ("?status=new", 1)):
        assert ada.get(URL + query).json()["total"] == count, query
    assert ada.get("/api/v1/fills").json()["results"][0]["side"] == "buy"
    lines = ada.get("/api/v1/ledger?kind=open").json()["results"]
    assert len(lines) == 1
    for path in (URL, "/api/v1/decisions", "/api/v1/fills", "/api/v1/ledger?kind=open", "/api/v1/discrepancies"):
        assert bob.get(path).json()["total"] == 0, path
    for path in (f"{URL}/{order['id']}", f"/api/v1/decisions/{order['decision']}"):
        assert bob.get(path).status_code == 404
    assert bob.patch(f"{URL}/{order['id']}", {"limit_price": "60000"}).status_code == 404
    assert bob.post(f"{URL}/{order['id']}/cancel").status_code == 404


def test_an_order_is_changed_and_taken_back(ada: Caller) -> None:
    order = worlds.order(ada)
    changed = ada.patch(f"{URL}/{order['id']}", {"limit_price": "60900", "quantity": "0.02"})
    assert (changed.status_code, changed.json()["limit_price"]) == (202, "60900")
    gone = ada.post(f"{URL}/{order['id']}/cancel", {"note": "enough"})
    assert (gone.status_code, gone.json()["status"], gone.json()["why"]) == (202, "cancelled", "enough")
    for late in (ada.post(f"{URL}/{order['id']}/cancel"), ada.patch(f"{URL}/{order['id']}", {"quantity": "1"})):
        assert late.status_code == 409
        assert late.json()["type"].endswith("order-ended")


def test_what_was_changed_meanwhile_is_not_changed_by_who_looked_before(ada: Caller) -> None:
    order = worlds.order(ada)
    seen = ada.get(f"{URL}/{order['id']}").headers["ETag"]
    assert ada.patch(f"{URL}/{order['id']}", {"limit_price": "60900"}, **{"if-match": seen}).status_code == 202
    late = ada.patch(f"{URL}/{order['id']}", {"limit_price": "60800"}, **{"if-match": seen})
    assert (late.status_code, late.json()["type"]) == (412, "urn:tradingsite:problem:changed")
    assert ada.post(f"{URL}/{order['id']}/cancel", None, **{"if-match": seen}).status_code == 412
    assert ada.post(f"{URL}/{order['id']}/cancel", None, **{"if-match": "x"}).status_code == 400
    assert ada.post(f"{URL}/{order['id']}/cancel", None, **{"if-match": "*"}).status_code == 202


def test_a_change_that_wants_more_is_judged_by_the_limits(ada: Caller) -> None:
    order = worlds.order(ada)
    worlds.limit("max_order_value", amount=1000.0)
    assert ada.patch(f"{URL}/{order['id']}", {"quantity": "0.02"}).status_code == 400
    assert ada.patch(f"{URL}/{order['id']}", {"quantity": "0.005"}).status_code == 202
    assert Decision.objects.filter(approved=False, source="amend").count() == 1


def test_who_may_only_look_enters_and_takes_back_nothing(btc: Any) -> None:
    vera = caller_for(make_user("vera", VIEWER))
    make_account(vera.user)
    for answer in (
        vera.post(URL, worlds.LIMIT_ORDER),
        vera.post("/api/v1/positions", {"instrument": "BTC-USD", "side": "long", "quantity": "0.1"}),
        vera.post(f"{URL}/1/cancel"),
        vera.post("/api/v1/positions/1/close"),
    ):
        assert answer.status_code == 403
        assert "permission trading." in answer.json()["detail"]
    assert vera.get(URL).status_code == 200
    vera.user.user_permissions.add(Permission.objects.get(codename="add_order"))
    assert caller_for(vera.user, Scope.TRADE).post(URL, worlds.LIMIT_ORDER).status_code == 201


def test_the_number_of_queries_does_not_grow_with_the_list(ada: Caller, django_assert_max_num_queries: Any) -> None:
    make_instrument("ETH-USD")
    for _ in range(4):
        worlds.order(ada)
    for path in (URL, "/api/v1/decisions", "/api/v1/fills", "/api/v1/ledger"):
        with django_assert_max_num_queries(9):
            assert ada.get(path).status_code == 200
