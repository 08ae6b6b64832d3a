"""What pages of other sites may ask of the API: nothing, unless a setting names them."""

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from tests.web.conftest import Caller
from tradingsite import cors
from tradingsite.environment import ConfigurationError

URL = "/api/v1/positions"
FRIEND = "https://desk.example"
STRANGER = "https://evil.example"


def preflight(origin: str, path: str = URL, method: str = "POST") -> HttpResponse:
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,idempotency-key,if-match,content-type",
    }
    return Client().options(path, headers=headers)


def told(answer: HttpResponse) -> dict[str, str]:
    return {k.lower(): v for k, v in answer.headers.items() if k.lower().startswith("access-control-")}


@pytest.fixture
def opened(settings: Settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = [FRIEND]


def test_by_default_no_page_gets_anything(ada: Caller) -> None:
    assert told(preflight(FRIEND)) == {}
    assert told(ada.get(URL, origin=FRIEND)) == {}


def test_a_page_that_is_named_may_send_what_the_api_needs(ada: Caller, opened: None) -> None:
    answer = told(preflight(FRIEND))
    assert answer["access-control-allow-origin"] == FRIEND
    allowed = {word.strip() for word in answer["access-control-allow-headers"].split(",")}
    assert {"authorization", "idempotency-key", "if-match", "content-type"} <= allowed
    assert "PATCH" in answer["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in answer


def test_and_may_read_the_answer_and_its_headers(ada: Caller, opened: None) -> None:
    answer = ada.get(URL, origin=FRIEND)
    assert answer.status_code == 200
    found = told(answer)
    assert found["access-control-allow-origin"] == FRIEND
    assert {"ETag", "Retry-After", "RateLimit-Remaining"} <= set(found["access-control-expose-headers"].split(", "))
    assert "origin" in answer.headers["Vary"].lower()


def test_a_refusal_can_be_read_too(stranger: Caller, db: None, opened: None) -> None:
    answer = stranger.get(URL, origin=FRIEND)
    assert answer.status_code == 401
    assert told(answer)["access-control-allow-origin"] == FRIEND


@pytest.mark.parametrize("origin", [STRANGER, "null", FRIEND + ".evil.example", "http://desk.example", FRIEND + ":444"])
def test_others_still_get_nothing(ada: Caller, opened: None, origin: str) -> None:
    assert "access-control-allow-origin" not in told(preflight(origin))
    assert "access-control-allow-origin" not in told(ada.get(URL, origin=origin))


def test_pages_of_people_are_never_opened(db: None, opened: None) -> None:
    assert told(preflight(FRIEND, "/desk/", "GET")) == {}
    assert told(preflight(FRIEND, "/admin/login/")) == {}


def test_cookies_only_when_asked_for(ada: Caller, opened: None, settings: Settings) -> None:
    settings.CORS_ALLOW_CREDENTIALS = True
    assert told(preflight(FRIEND))["access-control-allow-credentials"] == "true"
    assert told(preflight(FRIEND))["access-control-allow-origin"] == FRIEND  # never a star beside cookies


@pytest.mark.parametrize("name", ["*", "desk.example", "https://desk.example/", "ftp://x", "https://a b"])
def test_what_is_no_origin_stops_the_start(name: str) -> None:
    with pytest.raises(ConfigurationError, match="CORS_ALLOWED_ORIGINS"):
        cors.read_origins([FRIEND, name])
