"""Who may do what over the API: tokens, scopes, owners; and errors that are always JSON."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver

from apps.access import services
from apps.access.models import ApiToken, Scope, User
from apps.market import selectors as market
from apps.market.models import Instrument
from apps.market.store import Store
from tests.web import worlds
from tests.web.conftest import PRICE, Caller, caller_for, drain, make_user, now, set_price

URL = "/api/v1/positions"
READ = [URL, "/api/v1/exits", "/api/v1/accounts", "/api/v1/instruments", "/api/v1/quotes", "/api/v1/events"]

# Every address under /api/v1 and its methods, with the scope each needs. A new address without a row fails below.
NEEDS: dict[str, dict[str, Scope]] = {
    "api/v1/positions": {"GET": Scope.READ, "POST": Scope.TRADE},
    "api/v1/positions/<int:id>": {"GET": Scope.READ},
    "api/v1/positions/<int:id>/close": {"POST": Scope.TRADE},
    "api/v1/positions/<int:id>/levels": {"PATCH": Scope.TRADE},
    "api/v1/orders": {"GET": Scope.READ, "POST": Scope.TRADE},
    "api/v1/orders/<int:id>": {"GET": Scope.READ, "PATCH": Scope.TRADE},
    "api/v1/orders/<int:id>/cancel": {"POST": Scope.TRADE},
    "api/v1/decisions": {"GET": Scope.READ},
    "api/v1/decisions/<int:id>": {"GET": Scope.READ},
    "api/v1/fills": {"GET": Scope.READ},
    "api/v1/ledger": {"GET": Scope.READ},
    "api/v1/discrepancies": {"GET": Scope.READ},
    "api/v1/risk/limits": {"GET": Scope.READ, "POST": Scope.ADMIN},
    "api/v1/risk/limits/<int:id>": {"GET": Scope.READ, "PATCH": Scope.ADMIN, "DELETE": Scope.ADMIN},
    "api/v1/risk/rules": {"GET": Scope.READ},
    "api/v1/risk/violations": {"GET": Scope.READ},
    "api/v1/risk/metrics": {"GET": Scope.READ},
    "api/v1/trading-state": {"GET": Scope.READ, "POST": Scope.TRADE},
    "api/v1/system": {"GET": Scope.READ},
    "api/v1/tickets": {"POST": Scope.READ},
    "api/v1/strategies": {"GET": Scope.READ},
    "api/v1/strategies/plugins": {"GET": Scope.READ},
    "api/v1/strategies/<int:id>": {"GET": Scope.READ, "PATCH": Scope.TRADE},
    "api/v1/strategies/<int:id>/start": {"POST": Scope.TRADE},
    "api/v1/strategies/<int:id>/stop": {"POST": Scope.TRADE},
    "api/v1/signals": {"GET": Scope.READ},
    "api/v1/backtests": {"GET": Scope.READ, "POST": Scope.TRADE},
    "api/v1/backtests/compare": {"GET": Scope.READ},
    "api/v1/backtests/<int:id>": {"GET": Scope.READ},
    "api/v1/backtests/<int:id>/equity": {"GET": Scope.READ},
    "api/v1/backtests/<int:id>/cancel": {"POST": Scope.TRADE},
    "api/v1/exits": {"GET": Scope.READ},
    "api/v1/exits/<int:id>": {"GET": Scope.READ},
    "api/v1/accounts": {"GET": Scope.READ},
    "api/v1/instruments": {"GET": Scope.READ},
    "api/v1/quotes": {"GET": Scope.READ},
    "api/v1/events": {"GET": Scope.READ},
    "api/v1/market/instruments": {"GET": Scope.READ},
    "api/v1/market/instruments/<path:symbol>": {"GET": Scope.READ, "PATCH": Scope.ADMIN},
    "api/v1/market/quotes": {"GET": Scope.READ},
    "api/v1/market/quotes/<path:symbol>": {"GET": Scope.READ},
    "api/v1/market/candles": {"GET": Scope.READ},
    "api/v1/market/trades": {"GET": Scope.READ},
    "api/v1/reports": {"GET": Scope.READ},
    "api/v1/reports/<int:id>": {"GET": Scope.READ},
    "api/v1/reports/<int:id>/files/<str:kind>": {"GET": Scope.READ},
    "api/v1/statistics": {"GET": Scope.READ},
    "api/v1/statistics/equity": {"GET": Scope.READ},
}
# Addresses that need no token; who they let in is in test_pairs.py.
OPEN: dict[str, tuple[str, ...]] = {
    "api/v1/jwt": ("POST",),
    "api/v1/jwt/refresh": ("POST",),
    "api/v1/jwt/end": ("POST",),
}
# What an address cannot do without, beside its body.
QUERIES = {
    "api/v1/market/candles": "?instrument=BTC-USD&timeframe=1m",
    "api/v1/market/trades": "?instrument=BTC-USD",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
RANK = {None: -1, Scope.READ: 0, Scope.TRADE: 1, Scope.ADMIN: 2}
BODIES: dict[str, Any] = {
    "api/v1/positions": {"instrument": "BTC-USD", "side": "long", "quantity": "0.1"},
    "api/v1/positions/<int:id>/levels": {"stop_loss": "60500"},
    "api/v1/market/instruments/<path:symbol>": {"jump_band": "0.1"},
    "api/v1/orders": worlds.LIMIT_ORDER,
    "api/v1/orders/<int:id>": {"limit_price": "60900"},
    "api/v1/risk/limits": {"rule": "leverage", "parameters": {"times": 100}},
    "api/v1/risk/limits/<int:id>": {"note": "wide"},
    "api/v1/trading-state": {"state": "active", "reason": "all is well"},
    "api/v1/strategies/<int:id>": {"parameters": {}},
    "api/v1/backtests": {"plugin": "momentum", "instruments": ["BTC-USD"], "bar_seconds": 60},
}


@pytest.fixture
def stored(tick_store: Store) -> Iterator[None]:
    """The market store's tables, empty, for the addresses that read them."""
    market.market_store.cache_clear()
    yield
    market.market_store().close()
    market.market_store.cache_clear()


def addresses() -> list[str]:
    found = [str(p.pattern) for p in get_resolver("apps.web.urls").url_patterns]
    return [route for route in found if route.startswith("api/v1")]


def test_every_address_has_a_row() -> None:
    assert sorted(addresses()) == sorted([*NEEDS, *OPEN])


@pytest.mark.parametrize("scope", [None, *Scope], ids=str)
def test_each_scope_reaches_exactly_what_it_may(ada: Caller, scope: Scope | None, stored: None) -> None:
    # A token never does more than its user may: here she may do everything that an address needs a right for.
    rights = ("change_instrument", "rearm", "add_risklimit", "change_risklimit", "delete_risklimit")
    ada.user.user_permissions.add(*Permission.objects.filter(codename__in=rights))
    caller = Caller(ada.user, "") if scope is None else caller_for(ada.user, scope)
    for route, methods in NEEDS.items():
        set_price(Instrument.objects.get(symbol="BTC-USD"), PRICE)  # fresh, however long it took to come here
        for method in METHODS:
            needed = methods.get("GET" if method == "HEAD" else method)
            path = "/" + worlds.filled(route, ada, make=needed is not None) + QUERIES.get(route, "")
            status = caller.send(method, path, BODIES.get(route) if method in methods else None).status_code
            if scope is None:
                expected = {401}
            elif needed is None:
                # Where even POST asks for no more than reading, the token goes as far as to hear of the method.
                reaches = RANK[scope] >= RANK[Scope.TRADE] or methods.get("POST") is Scope.READ
                expected = {405} if reaches or method in ("GET", "HEAD", "OPTIONS") else {403}
            else:
                expected = {200, 201, 202, 204} if RANK[scope] >= RANK[needed] else {403}
            assert status in expected, f"{scope} {method} {path}: {status}"


def test_one_person_never_sees_or_touches_what_is_another_s(ada: Caller, bob: Caller) -> None:
    id_ = ada.open()["id"]
    exit_id = ada.post(f"{URL}/{id_}/close").json()["id"]
    assert bob.get(f"{URL}/{id_}").status_code == 404
    assert bob.post(f"{URL}/{id_}/close").status_code == 404
    assert bob.patch(f"{URL}/{id_}/levels", {"stop_loss": None}).status_code == 404
    assert bob.get(f"/api/v1/exits/{exit_id}").status_code == 404
    own = bob.user.accounts.get().pk
    for path in READ:
        for row in bob.get(path).json()["results"]:
            assert row.get("account", own) == own, path
    assert bob.get(URL).json()["total"] == 0
    assert bob.get("/api/v1/exits").json()["total"] == 0
    assert [row["id"] for row in bob.get("/api/v1/accounts").json()["results"]] == [own]
    assert bob.get(f"{URL}?account={ada.user.accounts.get().pk}").json()["total"] == 0
    assert ada.get(f"{URL}/{id_}").json()["status"] == "open"


def test_a_superuser_sees_and_may_close_everybody_s(ada: Caller, bob: Caller, root: Caller) -> None:
    ids = {ada.open()["id"], bob.open()["id"]}
    assert {row["id"] for row in root.get(URL).json()["results"]} == ids
    for id_ in ids:
        assert root.post(f"{URL}/{id_}/close").status_code == 202
    drain()
    assert bob.get(URL).json()["results"][0]["exits"][0]["actor"].startswith("root (")


@pytest.mark.parametrize(
    ("header", "word"),
    [
        (None, "credentials"),
        ("", "credentials"),
        ("Bearer", "Bearer TOKEN"),
        ("Bearer a b", "Bearer TOKEN"),
        ("Bearer ts_" + "0" * 64, "not known"),
        ("Bearer ts_\u00e9", "not known"),
        ("Bearer x", "not known"),
        ("Basic YTpi", "credentials"),
        ("Token ts_" + "0" * 64, "credentials"),
    ],
)
def test_without_a_good_token_the_answer_is_401(db: None, header: str | None, word: str) -> None:
    headers = {} if header is None else {"authorization": header}
    answer = Client().get(URL, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert word in answer.json()["detail"]


@pytest.mark.parametrize("why", ["expired", "revoked", "switched off"])
def test_a_token_that_was_good_says_why_it_is_not(ada: Caller, why: str) -> None:
    assert ada.get(URL).status_code == 200
    if why == "expired":
        ApiToken.objects.update(expires_at=now())
    elif why == "revoked":
        services.revoke_tokens(ada.token, now=now())
    else:
        User.objects.update(is_active=False)
    answer = ada.get(URL)
    assert answer.status_code == 401
    assert why in answer.json()["detail"]


def test_a_token_in_the_address_is_refused_even_beside_a_good_one(ada: Caller) -> None:
    for query in (f"token={ada.token}", f"access_token={ada.token}", f"q={ada.token}", "api_key=1", "TOKEN=1"):
        for caller in (ada, Caller(ada.user, "")):
            answer = caller.get(f"{URL}?{query}")
            assert answer.status_code == 401, query
            assert "address" in answer.json()["detail"]


def test_a_refusal_for_want_of_scope_says_which_is_needed(ada: Caller) -> None:
    answer = caller_for(ada.user, Scope.READ).post(URL, {})
    assert answer.status_code == 403
    assert "--scope trade" in answer.json()["detail"]


def test_a_signed_in_person_needs_the_csrf_token_to_trade(ada: Caller) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada.user)
    assert client.get(URL).status_code == 200
    answer = client.post(URL, {"instrument": "BTC-USD"}, content_type="application/json")
    assert answer.status_code == 403
    assert "CSRF" in answer.json()["detail"]
    client.cookies["csrftoken"] = token = "a" * 32
    body = {"instrument": "BTC-USD", "side": "long", "quantity": "0.1"}
    good = client.post(URL, body, content_type="application/json", headers={"x-csrftoken": token})
    assert good.status_code == 201


def test_use_is_written_down_at_most_once_a_minute(ada: Caller) -> None:
    ada.get("/api/v1/instruments")
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    with CaptureQueriesContext(
        connection,
    ) as queries:
        ada.get("/api/v1/instruments")
    assert not [q for q in queries if q["sql"].startswith("UPDATE")]
    ApiToken.objects.update(last_used_at=now() - timedelta(minutes=2))
    ada.get("/api/v1/instruments")
    assert ApiToken.objects.get().last_used_at > first


@pytest.mark.parametrize(
    "path", ["/api/", "/api/v1", "/api/v1/", "/api/v1/positions/", "/api/v2/x", "/api/%00", "/api/v1/é"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_address_that_does_not_exist_is_json_too(db: None, method: str, path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    answer = client.generic(method, path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == 404


def test_a_wrong_method_is_json_too(ada: Caller) -> None:
    answer = ada.send("DELETE", URL)
    assert (answer.status_code, answer.headers["Content-Type"]) == (405, "application/problem+json")
    assert "GET" in answer.headers["Allow"]


def test_a_bug_is_json_too_and_shows_nothing_of_itself(ada: Caller) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE market_instrument RENAME COLUMN symbol TO gone")  # undone with the test
    answer = ada.get("/api/v1/instruments")
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert not re.search(r"symbol|column|Traceback", answer.content.decode())


def test_other_than_json_cannot_be_asked_for(ada: Caller) -> None:
    answer = ada.get(URL, accept="text/csv")
    assert (answer.status_code, answer.headers["Content-Type"]) == (406, "application/problem+json")


def test_a_foreign_host_is_refused_in_json(ada: Caller) -> None:
    answer = ada.get(URL, host="evil.example")
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")


def test_no_page_of_another_site_may_read_the_api(ada: Caller) -> None:
    answer = ada.get(URL, origin="https://evil.example")
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_people_without_the_right_to_see_get_nothing_by_default(ada: Caller) -> None:
    ada.open()
    staff = caller_for(make_user("staff", is_staff=True), Scope.ADMIN)
    assert staff.get(URL).json()["total"] == 0
    assert staff.get("/api/v1/events").json()["results"] == []
