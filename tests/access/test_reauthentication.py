"""Before what is dangerous one proves anew who one is; and single-user mode, which asks nobody."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings as site
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import NoReverseMatch, reverse
from pytest_django import Settings

from apps.access import reauthentication, roles, sessions
from apps.access.models import ApiToken
from tests.access.conftest import PASSWORD, Person, text_of

Make = Callable[..., Person]
DANGEROUS = "/admin/access/apitoken/add/"


def made_old(person: Person) -> None:
    """Let the person have signed in an hour ago."""
    session = person.browser.session
    session[sessions.BEGAN] -= 3600
    if "account_authentication_methods" in session:
        session["account_authentication_methods"] = [
            {**record, "at": record["at"] - 3600} for record in session["account_authentication_methods"]
        ]
    session.save()


@pytest.fixture
def boss(person: Make) -> Person:
    made = person("boss", superuser=True)
    made.gives_password()
    return made


def test_who_has_just_signed_in_is_not_asked(boss: Person) -> None:
    assert boss.get(DANGEROUS).status_code == 200


def test_later_one_is_asked_and_comes_back(boss: Person) -> None:
    made_old(boss)
    asked = boss.get(DANGEROUS)
    assert asked.url == f"/account/reauthenticate/?next={quote(DANGEROUS, safe='')}"
    assert "password" in text_of(boss.get(asked.url))
    assert "Incorrect" in text_of(boss.post(asked.url, {"password": "wrong"}))
    assert boss.get(DANGEROUS).status_code == 302
    assert boss.post(asked.url, {"password": PASSWORD}).url == DANGEROUS
    assert boss.get(DANGEROUS).status_code == 200


def test_a_form_that_stood_open_does_nothing_and_its_values_are_kept_nowhere(boss: Person) -> None:
    made_old(boss)
    values = {"user": boss.user.pk, "scope": "admin", "name": "sesame-in-a-form"}
    assert boss.post(DANGEROUS, values).url.startswith("/account/reauthenticate/")
    assert not ApiToken.objects.exists()
    assert "sesame" not in str(dict(boss.browser.session.items()))


def test_the_second_factor_is_proof_too(boss: Person) -> None:
    boss.enrols()
    made_old(boss)
    asked = reverse("mfa_reauthenticate") + f"?next={DANGEROUS}"
    assert boss.post(asked, {"code": boss.code()}).url == DANGEROUS
    assert boss.get(DANGEROUS).status_code == 200


def test_what_is_not_dangerous_is_never_asked_for(boss: Person) -> None:
    made_old(boss)
    for path in ("/admin/", "/admin/trading/position/", "/admin/trading/restriction/add/", "/statistics"):
        assert boss.get(path).status_code == 200, f"{path}: stopping must be quick"


def test_a_token_is_never_asked(boss: Person) -> None:
    made_old(boss)
    assert Client().get(DANGEROUS).url.startswith("/admin/login/"), "nobody is signed in there"


@pytest.mark.parametrize("name", site.REAUTHENTICATE_BEFORE)
def test_every_page_that_the_settings_name_exists_and_asks(boss: Person, name: str) -> None:
    made_old(boss)
    try:
        address = reverse(name)
    except NoReverseMatch:
        address = reverse(name, args=[1])
    for answer in (boss.get(address), boss.post(address)):
        assert answer.url.startswith("/account/reauthenticate/"), address


def test_the_decorator_guards_a_view_of_ones_own(person: Make) -> None:
    @reauthentication.recently
    def view(request: HttpRequest, word: str) -> HttpResponse:
        return HttpResponse(word)

    boss = person("boss", superuser=True)
    boss.gives_password()

    def asked(path: str = "/x") -> Any:
        request = RequestFactory().get(path)
        request.user, request.session = boss.user, boss.browser.session
        return view(request, "done")

    assert asked().content == b"done"
    made_old(boss)
    assert asked().url.startswith("/account/reauthenticate/")
    with pytest.raises(PermissionDenied, match="Prove first"):
        asked("/api/v1/x")


def test_who_signs_in_elsewhere_alone_signs_in_again(boss: Person) -> None:
    boss.user.set_unusable_password()
    boss.user.save()
    boss.browser.force_login(boss.user)
    made_old(boss)
    asked = boss.get(DANGEROUS)
    assert asked.url.startswith("/account/again/")
    assert boss.get(asked.url).url == f"/account/login/?next={quote(DANGEROUS, safe='')}"
    assert boss.get("/admin/").status_code == 302
    assert boss.get("/account/again/?next=//evil.example/").url == "/account/login/"


@pytest.fixture
def alone(settings: Settings, person: Make) -> Person:
    settings.SINGLE_USER = True
    return person("root", superuser=True)


def test_in_single_user_mode_nobody_is_asked_for_anything(alone: Person, settings: Settings) -> None:
    settings.SECOND_FACTOR = "offered"
    browser = Client()
    assert browser.get("/admin/").status_code == 200
    assert browser.get(DANGEROUS).status_code == 200
    assert browser.get("/api/v1/positions").status_code == 200
    assert "Add a second factor" not in text_of(browser.get("/admin/"))
    assert browser.get("/admin/").wsgi_request.user == alone.user


@pytest.mark.usefixtures("alone")
def test_single_user_mode_is_for_the_machine_itself(client: Client) -> None:
    assert Client(REMOTE_ADDR="192.0.2.1").get("/admin/").status_code == 403
    passed_on = client.get("/admin/", headers={"x-forwarded-for": "192.0.2.1"})
    assert passed_on.status_code == 403
    assert "one person at its own machine" in text_of(passed_on)
    assert client.get("/admin/", headers={"host": "evil.example"}).status_code == 400, "a name made to point here"


@pytest.mark.usefixtures("alone")
def test_in_single_user_mode_forms_of_other_sites_are_refused_all_the_same() -> None:
    browser = Client(enforce_csrf_checks=True)
    assert browser.get("/admin/").status_code == 200
    assert browser.post(DANGEROUS, {"scope": "admin"}).status_code == 403


@pytest.mark.usefixtures("alone")
def test_a_wrong_token_is_wrong_in_single_user_mode_too(client: Client) -> None:
    answer = client.get("/api/v1/positions", headers={"authorization": "Bearer ts_" + "0" * 64})
    assert answer.status_code == 401


def test_without_the_mode_the_machine_itself_signs_in_as_well(person: Make) -> None:
    person("root", roles.ADMINISTRATOR, superuser=True)
    assert Client().get("/admin/").status_code == 302
