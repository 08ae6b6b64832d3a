"""Pages of failure, each caused for real: what happened, what to do, in the site's look; for programs a problem."""

from collections.abc import Callable

import pytest
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import include, path
from pytest_django import DjangoDbBlocker

from apps.web import errors
from tests.access.conftest import Person, text_of

Make = Callable[..., Person]


def failing(error: Exception) -> Callable[[HttpRequest], HttpResponse]:
    def view(request: HttpRequest) -> HttpResponse:
        raise error

    return view


urlpatterns = [
    path("breaks", failing(RuntimeError("a bug"))),
    path("api/v1/breaks", failing(RuntimeError("a bug"))),
    path("unreadable", failing(SuspiciousOperation("odd"))),
    path("api/v1/unreadable", failing(SuspiciousOperation("odd"))),
    path("", include("tradingsite.urls")),
]
handler400, handler403, handler404, handler500 = (
    errors.bad_request,
    errors.permission_denied,
    errors.not_found,
    errors.server_error,
)
CASES = [
    pytest.param("/unreadable", 400, "cannot be read", id="400"),
    pytest.param("/admin/trading/position/", 403, "your role does not include", id="403"),
    pytest.param("/no/such/page", 404, "nothing here", id="404"),
    pytest.param("/breaks", 500, "fault of the site", id="500"),
]


@pytest.fixture
def clerk(person: Make) -> Person:
    """A member of staff without a role."""
    made = person("clerk", signed_in=True)
    made.browser.raise_request_exception = False
    return made


@pytest.mark.parametrize(("address", "status", "words"), CASES)
@override_settings(ROOT_URLCONF=__name__)
def test_a_failure_says_what_happened_and_what_to_do(clerk: Person, address: str, status: int, words: str) -> None:
    answer = clerk.get(address)
    page = text_of(answer)
    assert answer.status_code == status
    assert words in page
    assert "What happened" in page
    assert "What to do" in page
    assert answer["Cache-Control"] == "no-store"
    assert "Traceback" not in page
    assert "a bug" not in page


@pytest.mark.parametrize(
    ("address", "status"), [("/api/v1/unreadable", 400), ("/api/v1/breaks", 500), ("/api/v1/nothing", 404)]
)
@override_settings(ROOT_URLCONF=__name__)
def test_a_program_gets_a_problem(clerk: Person, address: str, status: int) -> None:
    answer = clerk.get(address)
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["detail"]


def test_a_form_without_its_sign_is_told_why(person: Make) -> None:
    browser = Client(enforce_csrf_checks=True)
    answer = browser.post("/account/login/", {"username": "x", "password": "y"})
    assert answer.status_code == 403
    assert "no cookie" in text_of(answer)
    browser.get("/account/login/")
    answer = browser.post("/account/login/", {"username": "x", "password": "y", "csrfmiddlewaretoken": "a" * 64})
    assert answer.status_code == 403
    assert "no longer valid" in text_of(answer)


def test_a_host_that_is_not_ours_is_a_bad_request(client: Client) -> None:
    answer = client.get("/admin/", headers={"host": "evil.example"})
    assert answer.status_code == 400
    assert "What to do" in text_of(answer)


@pytest.mark.parametrize("name", ["bad_request", "permission_denied", "not_found", "csrf_failure", "server_error"])
def test_no_page_of_failure_asks_the_database(name: str, django_db_blocker: DjangoDbBlocker) -> None:
    request = HttpRequest()
    request.path, request.method = "/somewhere", "GET"
    arguments = () if name in ("server_error", "csrf_failure") else (RuntimeError(),)
    with django_db_blocker.block():
        assert "What to do" in text_of(getattr(errors, name)(request, *arguments))
