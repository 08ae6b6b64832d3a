"""Pairs of short-lived tokens: who gets one, how long each half counts, and what ends it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import jwt
import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from django.core.cache import cache
from django.db import connection
from django.test import Client
from pytest_django import Settings

from apps.access import pairs
from apps.access import services as access
from apps.access.models import ApiToken, Pair, Scope
from apps.journal.models import Event
from tests.web.conftest import Caller, caller_for, now

URL = "/api/v1/jwt"
PASSWORD = "long-enough-4-a-test"


@pytest.fixture(autouse=True)
def _forgotten(db: None) -> None:
    """Forget what limits on signing in counted in other tests."""
    cache.clear()


def ask(body: Any, path: str = URL) -> Any:
    return Client().post(path, body, content_type="application/json")


def by_password(**more: str) -> Any:
    return ask({"username": "ada", "password": PASSWORD, **more})


def with_short(given: dict[str, Any], caller: Caller) -> Caller:
    return Caller(caller.user, given["access"])


@pytest.fixture
def signer(ada: Caller) -> Caller:
    """Ada with a password and no second factor."""
    ada.user.set_password(PASSWORD)
    ada.user.save()
    return ada


def enrol(caller: Caller) -> str:
    """Give the person an authenticator app and return its secret."""
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(caller.user, secret)
    return str(secret)


def code(secret: str) -> str:
    return str(totp.format_hotp_value(totp.hotp_value(secret, next(totp.yield_hotp_counters_from_time()))))


# --- who gets one -----------------------------------------------------------------------------------------------------
def test_a_token_gives_a_pair_of_the_scope_asked_for(ada: Caller) -> None:
    given = ada.post(URL, {"scope": "trade"})
    assert given.status_code == 201, given.content
    assert given.headers["Cache-Control"] == "no-store"
    body = given.json()
    assert (body["scope"], body["access_seconds"], body["refresh_seconds"]) == ("trade", 600, 168 * 3600)
    paired = with_short(body, ada)
    position = paired.open()
    assert paired.get(f"/api/v1/positions/{position['id']}").status_code == 200
    event = Event.objects.get(kind="position.created")
    assert event.actor == f"ada (jwt {Pair.objects.get().pk})"


def test_reading_is_what_one_gets_without_asking_for_more(ada: Caller) -> None:
    paired = with_short(ada.post(URL).json(), ada)
    assert paired.get("/api/v1/positions").status_code == 200
    refused = paired.post("/api/v1/positions", {})
    assert refused.status_code == 403
    assert "has 'read'" in refused.json()["detail"]


def test_never_more_than_the_token_s_own_scope(ada: Caller) -> None:
    answer = caller_for(ada.user, Scope.READ).post(URL, {"scope": "trade"})
    assert answer.status_code == 403
    assert not Pair.objects.exists()


def test_a_pair_gives_no_other_pair(ada: Caller) -> None:
    assert with_short(ada.post(URL).json(), ada).post(URL).status_code == 403


def test_name_and_password_where_no_second_factor_is_asked_for(signer: Caller) -> None:
    given = by_password()
    assert given.status_code == 201, given.content
    assert with_short(given.json(), signer).get("/api/v1/positions").status_code == 200


def test_a_wrong_password_and_an_unknown_name_read_the_same(signer: Caller) -> None:
    first, second = by_password(password="wrong"), by_password(username="nobody")
    assert first.status_code == second.status_code == 401
    assert first.json() == second.json()
    assert first.headers["WWW-Authenticate"].startswith("Bearer")


def test_nothing_at_all_is_told_what_to_send(db: None) -> None:
    answer = ask({})
    assert answer.status_code == 401
    assert "`password`" in answer.json()["detail"]


def test_where_a_second_factor_is_required_nobody_passes_without_one(signer: Caller, settings: Settings) -> None:
    settings.SECOND_FACTOR = "required"
    answer = by_password()
    assert answer.status_code == 401
    assert "second factor" in answer.json()["detail"]


def test_who_has_a_second_factor_sends_its_code_which_counts_once(signer: Caller) -> None:
    secret = enrol(signer)
    assert "`code`" in by_password().json()["detail"]
    assert by_password(code="000000").status_code == 401
    right = code(secret)
    assert by_password(code=right).status_code == 201
    assert by_password(code=right).status_code == 401


def test_a_recovery_code_counts_too(signer: Caller) -> None:
    enrol(signer)
    spare = RecoveryCodes.activate(signer.user).get_unused_codes()[0]
    assert by_password(code=spare).status_code == 201
    assert by_password(code=spare).status_code == 401


def test_wrong_codes_are_limited(signer: Caller) -> None:
    enrol(signer)
    statuses = [by_password(code="000000").status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]


def test_failures_lock_out_in_json(signer: Caller) -> None:
    statuses = [by_password(password="wrong").status_code for _ in range(6)]
    assert statuses[:4] == [401] * 4
    locked = by_password()
    assert locked.status_code == 429, "the right password, too late"
    assert locked.headers["Content-Type"] == "application/problem+json"
    assert locked.headers["Retry-After"] == "900"


def test_no_secret_is_shown_back(signer: Caller) -> None:
    for wrong in ({"password": "x" * 1001}, {"username": "x" * 151}, {"code": "xxx\0"}):
        answer = by_password(**wrong)
        assert answer.status_code == 400
        assert "xxx" not in answer.content.decode()


def test_switched_off_there_are_no_pairs(ada: Caller, settings: Settings) -> None:
    settings.JWT_MINUTES = 0
    assert [ada.post(URL).status_code, ask({}, URL + "/refresh").status_code] == [404, 404]


# --- how long ---------------------------------------------------------------------------------------------------------
def test_the_short_one_ends_by_itself(ada: Caller) -> None:
    token = ApiToken.objects.get()
    given = pairs.open_pair(user=ada.user, token=token, scope=Scope.READ, address=None, now=now() - timedelta(hours=1))
    late = Caller(ada.user, given.access).get("/api/v1/positions")
    assert (late.status_code, "expired" in late.json()["detail"]) == (401, True)
    renewed = ask({"refresh": given.refresh}, URL + "/refresh")
    assert renewed.status_code == 200
    assert with_short(renewed.json(), ada).get("/api/v1/positions").status_code == 200


def test_a_pair_never_outlives_its_token(ada: Caller) -> None:
    token = access.create_token(user=ada.user, scope=Scope.READ, now=now(), expires_at=now() + timedelta(seconds=90))
    assert Caller(ada.user, token.text).post(URL).json()["access_seconds"] <= 90


@pytest.mark.parametrize("why", ["token revoked", "user off", "pair ended"])
def test_it_can_be_taken_back_at_once(ada: Caller, why: str) -> None:
    given = ada.post(URL).json()
    paired = with_short(given, ada)
    assert paired.get("/api/v1/positions").status_code == 200
    if why == "token revoked":
        access.revoke_tokens(ada.token, now=now())
    elif why == "user off":
        ada.user.is_active = False
        ada.user.save()
    else:
        assert ask({"refresh": given["refresh"]}, URL + "/end").status_code == 204
    assert paired.get("/api/v1/positions").status_code == 401
    assert ask({"refresh": given["refresh"]}, URL + "/refresh").status_code == 401


def test_a_new_password_ends_what_the_old_one_gave(signer: Caller) -> None:
    given = by_password().json()
    signer.user.set_password("another-1-for-a-test")
    signer.user.save()
    answer = with_short(given, signer).get("/api/v1/positions")
    assert (answer.status_code, "was changed since" in answer.json()["detail"]) == (401, True)


def test_so_does_another_second_factor(signer: Caller) -> None:
    given = by_password().json()
    enrol(signer)
    assert with_short(given, signer).get("/api/v1/positions").status_code == 401
    assert ask({"refresh": given["refresh"]}, URL + "/refresh").status_code == 401


# --- renewing ---------------------------------------------------------------------------------------------------------
def test_a_long_one_that_comes_twice_ends_the_pair(ada: Caller) -> None:
    first = ada.post(URL).json()
    second = ask({"refresh": first["refresh"]}, URL + "/refresh").json()
    stolen = ask({"refresh": first["refresh"]}, URL + "/refresh")
    assert (stolen.status_code, "taken before" in stolen.json()["detail"]) == (401, True)
    assert ask({"refresh": second["refresh"]}, URL + "/refresh").status_code == 401
    assert with_short(second, ada).get("/api/v1/positions").status_code == 401
    assert Event.objects.get(kind="access.pair_ended").payload["why"] == "its long token came twice"


def test_the_halves_do_not_stand_for_each_other(ada: Caller) -> None:
    given = ada.post(URL).json()
    assert Caller(ada.user, given["refresh"]).get("/api/v1/positions").status_code == 401
    assert ask({"refresh": given["access"]}, URL + "/refresh").status_code == 401


@pytest.mark.django_db(transaction=True)
def test_of_two_that_renew_at_once_one_wins(ada: Caller) -> None:
    refresh = ada.post(URL).json()["refresh"]

    def renew(_: int) -> int:
        try:
            return int(ask({"refresh": refresh}, URL + "/refresh").status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(renew, range(4)))
    assert statuses == [200, 401, 401, 401]


# --- forging ----------------------------------------------------------------------------------------------------------
def _forged(given: dict[str, Any], **changes: Any) -> dict[str, str]:
    claims = jwt.decode(given["access"], options={"verify_signature": False}) | changes
    ours = pairs._key("for-tests-only-for-tests-only-for-tests-only-for-tests-only")
    return {
        "no signature": jwt.encode(claims, "", algorithm="none"),
        "another key": jwt.encode(claims, b"x" * 32, algorithm="HS256"),
        "another way to sign": jwt.encode(claims, ours + ours, algorithm="HS512"),
        "another issuer": jwt.encode(claims | {"iss": "x"}, ours, algorithm="HS256"),
        "another person": jwt.encode(claims | {"sub": "999999"}, ours, algorithm="HS256"),
        "no end": jwt.encode({k: v for k, v in claims.items() if k != "exp"}, ours, algorithm="HS256"),
        "cut short": given["access"][:-3],
        "with more behind it": given["access"] + "AAA",
    }


@pytest.mark.parametrize("what", _forged({"access": jwt.encode({"a": 1}, b"x" * 32)}))
def test_what_is_forged_lets_nobody_in(ada: Caller, what: str) -> None:
    given = ada.post(URL).json()
    assert Caller(ada.user, _forged(given)[what]).get("/api/v1/positions").status_code == 401
    assert with_short(given, ada).get("/api/v1/positions").status_code == 200


def test_a_signed_token_in_an_address_is_refused(ada: Caller) -> None:
    given = ada.post(URL).json()
    assert ada.get(f"/api/v1/positions?jwt={given['access']}").status_code == 401
    assert ada.get(f"/api/v1/positions?q={given['access']}").status_code == 401
