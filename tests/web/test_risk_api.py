"""Limits, breaches, measures and the trading state over the API."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from pytest_django import Settings

from apps.access.models import Scope as TokenScope
from apps.access.roles import RISK_OFFICER
from apps.domain.restrictions import Scope
from apps.journal.models import Event, Lease, Pulse
from apps.trading.models import Position, Restriction, RiskLimit, RiskMetric, Violation
from tests.web import worlds
from tests.web.conftest import Caller, caller_for, make_user, now

LIMITS, STATE = "/api/v1/risk/limits", "/api/v1/trading-state"


@pytest.fixture
def rita(btc: Any) -> Caller:
    """A risk officer without accounts."""
    return caller_for(make_user("rita", RISK_OFFICER), TokenScope.ADMIN)


def test_a_limit_is_added_changed_and_taken_away_with_an_event_each(rita: Caller, ada: Caller) -> None:
    body = {"rule": "max_order_value", "parameters": {"amount": 500}, "action": "block", "note": "careful"}
    made = rita.post(LIMITS, body)
    assert made.status_code == 201, made.content
    id_ = made.json()["id"]
    assert made.headers["Location"].endswith(f"{LIMITS}/{id_}")
    assert (made.json()["scope"], made.json()["target"], made.json()["enabled"]) == ("site", 0, True)
    assert ada.post("/api/v1/orders", worlds.LIMIT_ORDER).status_code == 400, "it counts at once"
    changed = rita.patch(f"{LIMITS}/{id_}", {"parameters": {"amount": 5000}})
    assert changed.json()["parameters"] == {"amount": 5000}
    assert (changed.json()["action"], changed.json()["note"]) == ("block", "careful")
    worlds.order(ada)
    assert rita.delete(f"{LIMITS}/{id_}").status_code == 204
    assert rita.get(f"{LIMITS}/{id_}").status_code == 404
    kinds = ["risk.limit_added", "risk.limit_changed", "risk.limit_deleted"]
    rows = Event.objects.filter(kind__in=kinds).order_by("id")
    assert [row.kind for row in rows] == kinds
    assert {row.actor.partition(" ")[0] for row in rows} == {"rita"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"rule": "no_such_rule"}, "rule"),
        ({"rule": "leverage", "parameters": {"times": -1}}, "parameters.times"),
        ({"rule": "leverage", "parameters": {"speed": 1}}, "parameters.speed"),
        ({"rule": "leverage", "parameters": [1]}, "parameters"),
        ({"rule": "leverage", "scope": "instrument", "target": 10**9}, "target"),
        ({"rule": "leverage", "scope": "site", "target": 1}, "target"),
        ({"rule": "leverage", "profile": 10**9}, "profile"),
        ({"rule": "leverage", "enabled": "yes"}, "enabled"),
    ],
)
def test_a_wrong_limit_names_its_field(rita: Caller, body: dict[str, Any], field: str) -> None:
    answer = rita.post(LIMITS, body)
    assert answer.status_code == 400
    assert field in [problem["field"] for problem in answer.json()["errors"]]
    assert not RiskLimit.objects.exists()


def test_the_same_limit_twice_is_refused(rita: Caller) -> None:
    assert rita.post(LIMITS, {"rule": "leverage"}).status_code == 201
    twice = rita.post(LIMITS, {"rule": "leverage"})
    assert (twice.status_code, twice.json()["errors"][0]["field"]) == (400, "rule")


def test_limits_about_accounts_of_others_are_not_there(ada: Caller) -> None:
    own = ada.user.accounts.get().pk
    hidden = worlds.limit("leverage", Scope.ACCOUNT, own, times=2.0)
    zoe = caller_for(make_user("zoe"), TokenScope.ADMIN)  # may change limits, and oversees nobody
    zoe.user.user_permissions.add(*Permission.objects.filter(codename__endswith="_risklimit"))
    assert ada.get(LIMITS).json()["total"] == 1
    assert zoe.get(LIMITS).json()["total"] == 0
    assert zoe.patch(f"{LIMITS}/{hidden.pk}", {"enabled": False}).status_code == 404
    assert zoe.post(LIMITS, {"rule": "leverage", "scope": "account", "target": own}).status_code == 404


def test_a_trader_with_an_administrator_s_token_sets_no_limit(ada: Caller) -> None:
    answer = caller_for(ada.user, TokenScope.ADMIN).post(LIMITS, {"rule": "leverage"})
    assert answer.status_code == 403
    assert "trading.add_risklimit" in answer.json()["detail"]


def test_rules_come_with_the_schema_of_their_parameters(ada: Caller) -> None:
    rules = {row["name"]: row for row in ada.get("/api/v1/risk/rules").json()}
    assert rules["leverage"]["parameters"]["properties"]["times"]["default"] == 1.0
    assert rules["leverage"]["continuous"] is True


def test_breaches_and_measures_are_of_one_s_own_accounts(ada: Caller, bob: Caller) -> None:
    account, at = ada.user.accounts.get(), now()
    common = {"account": account, "rule": "leverage", "scope": "site", "number": "2", "bound": "1", "formula": "f"}
    Violation.objects.create(**common, sentence="too much", action="refuse", began_at=at, seen_at=at)
    Violation.objects.create(**common, sentence="x", action="refuse", began_at=at, seen_at=at, ended_at=at)
    names = ("equity", "cash", "gross", "net", "peak", "day_start")
    for minute in range(3):
        values = {name: Decimal(100) for name in names} | {"peak": Decimal(125)}
        RiskMetric.objects.create(account=account, at=at - timedelta(minutes=minute), **values)
    assert ada.get("/api/v1/risk/violations").json()["total"] == 2
    (standing,) = ada.get("/api/v1/risk/violations?standing=true").json()["results"]
    assert (standing["sentence"], standing["ended_at"]) == ("too much", None)
    since = (at - timedelta(seconds=90)).isoformat().replace("+00:00", "Z")
    found = ada.get(f"/api/v1/risk/metrics?since={since}").json()
    assert (found["total"], found["results"][0]["drawdown"]) == (2, "0.2")
    assert bob.get("/api/v1/risk/violations").json()["total"] == 0
    assert bob.get("/api/v1/risk/metrics").json()["total"] == 0


# --- the trading state ----------------------------------------------------------------------------------------------
def test_trading_is_stopped_by_who_sees_the_fire_and_allowed_again_by_who_may(ada: Caller, rita: Caller) -> None:
    stopped = ada.post(STATE, {"state": "halted", "reason": "smoke"})
    assert stopped.status_code == 200, stopped.content
    assert (stopped.json()["state"], stopped.json()["exits"]) == ("halted", 0)
    assert ada.post("/api/v1/orders", worlds.LIMIT_ORDER).status_code == 400
    assert rita.get(STATE).json()["restrictions"][0]["reason"] == "smoke"
    refused = ada.post(STATE, {"state": "active", "reason": "it was nothing"})
    assert refused.status_code == 403
    assert "trading.rearm" in refused.json()["detail"]
    assert rita.post(STATE, {"state": "active", "reason": "looked"}).json()["state"] == "active"
    worlds.order(ada)


def test_to_flatten_leaves_what_is_held(ada: Caller) -> None:
    ada.open()
    own = ada.user.accounts.get().pk
    body = {"state": "reducing", "scope": "account", "target": own, "reason": "out", "flatten": True}
    answer = ada.post(STATE, body)
    assert (answer.json()["exits"], answer.json()["state"]) == (1, "active")
    assert Position.objects.get().exits.get().reason == "kill_switch"


@pytest.mark.parametrize("body", [{"state": "halted"}, {"state": "halted", "reason": " "}, {"state": "off"}])
def test_a_state_without_a_reason_or_that_is_none_is_refused(ada: Caller, body: dict[str, Any]) -> None:
    assert ada.post(STATE, body).status_code == 400
    assert not Restriction.objects.exists()


def test_an_account_of_another_is_neither_stopped_nor_seen(ada: Caller, bob: Caller) -> None:
    own = ada.user.accounts.get().pk
    body = {"state": "halted", "scope": "account", "target": own, "reason": "no"}
    assert bob.post(STATE, body).status_code == 404
    assert ada.post(STATE, body).status_code == 200
    assert bob.get(STATE).json() == {"state": "active", "restrictions": []}


def test_a_session_that_was_left_open_does_not_allow_trading_again(rita: Caller, settings: Settings) -> None:
    client = Client()
    client.force_login(rita.user, backend="django.contrib.auth.backends.ModelBackend")

    def sets(state: str) -> int:
        body = {"state": state, "reason": "x"}
        return client.post(STATE, body, content_type="application/json").status_code

    settings.REAUTHENTICATE_AFTER = timedelta(0)
    assert (sets("halted"), sets("active")) == (200, 403), "stopping asks nobody anew"
    settings.REAUTHENTICATE_AFTER = timedelta(minutes=5)
    assert sets("active") == 200


def test_the_site_says_how_it_is_and_to_staff_what_it_saw(ada: Caller, root: Caller) -> None:
    plain, full = ada.get("/api/v1/system").json(), root.get("/api/v1/system").json()
    assert plain["status"] in ("ok", "failing")
    assert plain["live_trading"] is False
    assert {check["seen"] for check in plain["checks"]} == {None}
    assert all(check["seen"] for check in full["checks"])


def test_it_names_processes_leaders_and_queues_and_to_staff_where_they_run(ada: Caller, root: Caller) -> None:
    at = now()
    beats = {"worker:exits": at, "sweeper": at - timedelta(minutes=1), "old": at - timedelta(days=1)}
    for pid, (name, beat_at) in enumerate([*beats.items(), ("worker:exits", at - timedelta(minutes=1))]):
        Pulse.objects.create(name=name, host="h", pid=pid, started_at=at, beat_at=beat_at)
    Lease.objects.update_or_create(name="sweeper", defaults={"epoch": 3, "holder": "h:1", "renewed_at": at})
    plain, full = ada.get("/api/v1/system").json(), root.get("/api/v1/system").json()
    states = [(each["name"], each["state"]) for each in plain["processes"]]
    assert states == [("sweeper", "silent"), ("worker:exits", "live"), ("worker:exits", "ended")]
    assert {each["host"] for each in plain["processes"]} == {None}
    assert {each["host"] for each in full["processes"]} == {"h"}
    (leader,) = [each for each in plain["leaders"] if each["name"] == "sweeper"]
    assert (leader["leads"], leader["epoch"], leader["holder"]) == (True, 3, None)
    assert {each["name"] for each in plain["queues"]} >= {"exits", "orders"}
    assert plain["backup"] is None
