"""How many requests one may send: by token, by person, by address; and what happens without Redis."""

import socket

import pytest
from django.test import Client
from pytest_django import Settings

from apps.access.models import Scope
from apps.web.api import throttling
from tests.web.conftest import Caller, caller_for

URL = "/api/v1/instruments"
WRITE = "/api/v1/positions"


@pytest.fixture
def limits(settings: Settings) -> dict[str, int]:
    """The limits, all switched off: a test sets its own."""
    throttling._counter = throttling._Counter()
    return settings.API_LIMITS


def statuses(caller: Caller, count: int, path: str = URL) -> list[int]:
    return [caller.get(path).status_code for _ in range(count)]


def test_without_a_limit_nothing_is_counted(ada: Caller, limits: dict[str, int]) -> None:
    answer = ada.get(URL)
    assert not [name for name in answer.headers if name.startswith("RateLimit")]


def test_a_token_has_its_own_and_is_told_what_is_left(ada: Caller, limits: dict[str, int]) -> None:
    limits["read"] = 2
    first = ada.get(URL)
    assert (first.headers["RateLimit-Limit"], first.headers["RateLimit-Remaining"]) == ("2", "1")
    assert 1 <= int(first.headers["RateLimit-Reset"]) <= 30
    assert ada.get(URL).headers["RateLimit-Remaining"] == "0"
    answer = ada.get(URL)
    assert answer.status_code == 429
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(answer.headers["Retry-After"]) <= 30
    assert answer.headers["RateLimit-Remaining"] == "0"
    assert answer.json()["type"] == "urn:tradingsite:problem:too-many-requests"
    assert "At most 2 requests that read" in answer.json()["detail"]
    assert caller_for(ada.user, Scope.READ).get(URL).status_code == 200  # another token of the same person


def test_what_changes_something_is_counted_apart_from_reading(ada: Caller, limits: dict[str, int]) -> None:
    limits["trade"] = 1
    assert ada.post(WRITE, {}).status_code == 400
    assert ada.post(WRITE, {}).status_code == 429
    assert statuses(ada, 3) == [200] * 3


def test_a_person_has_one_limit_over_all_tokens(ada: Caller, bob: Caller, limits: dict[str, int]) -> None:
    limits["person"] = 2
    other = caller_for(ada.user, Scope.READ)
    assert [ada.get(URL).status_code, other.get(URL).status_code, ada.get(URL).status_code] == [200, 200, 429]
    assert bob.get(URL).status_code == 200
    assert "of one person" in other.get(URL).json()["detail"]


def test_a_session_counts_as_well(ada: Caller, limits: dict[str, int]) -> None:
    limits["read"] = 1
    browser = Client()
    browser.force_login(ada.user)
    assert [browser.get(URL).status_code, browser.get(URL).status_code] == [200, 429]


def test_bad_tokens_are_counted_by_address_and_hold_up_no_good_one(ada: Caller, limits: dict[str, int]) -> None:
    limits["refused"] = 2
    strangers = [Caller(ada.user, "ts_" + "0" * 64), Caller(ada.user, "")]
    assert [caller.get(URL, remote="x").status_code for caller in strangers] == [401, 401]
    answer = strangers[0].get(URL)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert ada.get(URL).status_code == 200
    elsewhere = Client(REMOTE_ADDR="203.0.113.9")
    assert elsewhere.get(URL).status_code == 401


def test_a_request_that_is_refused_takes_nothing(ada: Caller, limits: dict[str, int]) -> None:
    limits["read"], limits["person"] = 1, 3
    assert statuses(ada, 3) == [200, 429, 429]
    other = caller_for(ada.user, Scope.READ)
    assert other.get(URL).headers["RateLimit-Remaining"] == "0"  # of its own one; two of the person's are left
    assert caller_for(ada.user, Scope.READ).get(URL).status_code == 200


def test_without_redis_nobody_is_held_up_and_afterwards_it_counts_again(
    ada: Caller, limits: dict[str, int], settings: Settings
) -> None:
    limits["read"], real = 1, settings.REDIS_URL
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never answers
        port = silent.getsockname()[1]
        settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"
        assert statuses(ada, 3) == [200] * 3
        paused = throttling._counter._away_until
        assert paused > 0
        assert statuses(ada, 3) == [200] * 3
        assert throttling._counter._away_until == paused, "each request waits for a Redis that is known to be away"
    settings.REDIS_URL = f"redis://127.0.0.1:{port}/1"  # nobody listens there any more
    throttling._counter = throttling._Counter()  # as if the pause were over
    assert statuses(ada, 3) == [200] * 3
    settings.REDIS_URL = real
    throttling._counter = throttling._Counter()
    assert 429 in statuses(ada, 3)
