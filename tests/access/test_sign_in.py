"""Signing in: password, second factor, recovery codes, lockout; and what each of them says when it refuses."""

from collections.abc import Callable
from urllib.parse import quote

import pytest
from allauth.mfa.models import Authenticator
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from apps.access import roles, sealing
from apps.access.models import User
from apps.journal.models import Event
from tests.access.conftest import PASSWORD, SIGN_IN, Person, text_of

Make = Callable[..., Person]
FIRST = "/desk/"


def test_a_password_opens_the_first_page_where_no_second_factor_is_required(person: Make) -> None:
    ann = person("ann", roles.VIEWER)
    assert ann.gives_password().url == FIRST
    page = ann.get(FIRST)
    assert page.status_code == 200
    assert "Add a second factor" in text_of(page)


def test_a_wrong_password_says_so_and_does_not_tell_names_apart(person: Make) -> None:
    ann = person("ann")
    answers = [ann.gives_password("wrong"), Client().post(SIGN_IN, {"username": "nobody", "password": "wrong"})]
    assert all("The name or the password is wrong." in text_of(answer) for answer in answers)
    assert ann.get(FIRST).url.startswith(SIGN_IN)


def test_after_signing_in_one_is_where_one_wanted_to_go_but_never_elsewhere(person: Make) -> None:
    ann = person("ann", roles.VIEWER)
    wanted = reverse("admin:trading_position_changelist")
    door = ann.get(wanted).url
    assert ann.get(door).url == f"{SIGN_IN}?next={quote(wanted, safe='')}"
    assert ann.gives_password(path=f"{SIGN_IN}?next={wanted}").url == wanted
    bob = person("bob")
    assert bob.gives_password(path=f"{SIGN_IN}?next=https://evil.example/").url == FIRST


@pytest.mark.usefixtures("required")
def test_staff_enrol_at_the_first_sign_in_before_anything_opens(person: Make) -> None:
    ann = person("ann", roles.ADMINISTRATOR)
    ann.gives_password()
    for path in (
        FIRST,
        reverse("admin:access_user_changelist"),
        "/statistics",
        "/desk/",
        "/",
        "/admin/password_change/",
    ):
        assert ann.get(path).url == reverse("mfa_index"), path
    assert ann.get("/api/v1/positions").status_code == 403
    assert ann.post(reverse("admin:access_apitoken_add"), {"scope": "admin"}).url == reverse("mfa_index")
    assert "This site requires one" in text_of(ann.get(reverse("mfa_index")))
    assert ann.enrols().url == reverse("mfa_view_recovery_codes")
    assert ann.get(FIRST).status_code == 200
    assert "Add a second factor" not in text_of(ann.get(FIRST))
    assert Event.objects.filter(kind="access.factor_added", actor="ann").exists()


def test_who_is_not_of_the_staff_is_told_what_is_not_theirs(person: Make) -> None:
    zoe = person("zoe", is_staff=False)
    assert zoe.gives_password().url == FIRST
    assert zoe.get(FIRST).status_code == 200
    assert zoe.get("/api/v1/positions").status_code == 200
    for path in ("/admin/", "/admin/trading/position/", "/gauges", "/admin/login/"):
        answer = zoe.browser.get(path, follow=True)
        assert answer.status_code == 403, path
        assert "not of the staff" in text_of(answer)
        assert 'href="/desk/"' in text_of(answer)


def test_everybody_signs_in_on_one_page_and_comes_to_the_desk(person: Make) -> None:
    ann = person("ann", roles.VIEWER)
    assert ann.get("/").url == FIRST
    assert ann.get(FIRST).url == f"{SIGN_IN}?next={FIRST}"
    assert ann.get("/admin/").url == "/admin/login/?next=/admin/"
    assert ann.get("/admin/login/?next=/admin/").url == f"{SIGN_IN}?next=%2Fadmin%2F"
    assert ann.get("/admin/login/?next=//evil.example/").url == f"{SIGN_IN}?next=%2Fadmin%2F"
    assert ann.post("/admin/login/", {"username": "ann", "password": PASSWORD}).url.startswith(SIGN_IN)
    assert ann.get(FIRST).status_code == 302, "the old address takes no passwords"
    ann.gives_password()
    assert ann.get(SIGN_IN).url == FIRST, "who is signed in is not asked again"
    assert ann.get("/admin/login/?next=/statistics").url == "/statistics"


@pytest.mark.parametrize("staff", [True, False], ids=["staff", "others"])
@pytest.mark.parametrize("address", ["/admin/logout/", "/account/logout/"])
def test_everybody_signs_out_and_is_asked_to_sign_in(person: Make, address: str, staff: bool) -> None:
    ann = person("ann", is_staff=staff)
    ann.gives_password()
    assert ann.get(address).status_code == 200, "a link asks first"
    assert ann.get(FIRST).status_code == 200
    assert ann.post(address).url == SIGN_IN
    assert ann.get(FIRST).status_code == 302


@pytest.fixture
def enrolled(person: Make) -> Person:
    """Somebody with an authenticator app, signed out, whose recovery codes are known."""
    ann = person("ann", roles.VIEWER)
    ann.gives_password()
    ann.enrols()
    ann.browser.logout()
    return ann


def test_with_a_factor_the_password_alone_opens_nothing(enrolled: Person) -> None:
    assert enrolled.gives_password().url == reverse("mfa_authenticate")
    assert enrolled.get(FIRST).url.startswith(SIGN_IN)
    assert enrolled.get("/api/v1/positions").status_code == 401
    bad = enrolled.gives_code("000000")
    assert "not right" in text_of(bad)
    assert enrolled.get(FIRST).url.startswith(SIGN_IN)
    assert enrolled.gives_code().url == FIRST
    assert enrolled.get(FIRST).status_code == 200


def test_a_code_is_taken_once(enrolled: Person) -> None:
    enrolled.gives_password()
    code = enrolled.code()
    assert enrolled.gives_code(code).status_code == 302
    enrolled.browser.logout()
    enrolled.gives_password()
    assert enrolled.gives_code(code).status_code == 200


def test_a_recovery_code_works_once_and_guessing_codes_ends(enrolled: Person) -> None:
    codes = Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()
    assert len(codes) == 10
    enrolled.gives_password()
    assert enrolled.gives_code(codes[0]).url == FIRST
    enrolled.browser.logout()
    enrolled.gives_password()
    assert enrolled.gives_code(codes[0]).status_code == 200
    answers = [text_of(enrolled.gives_code(f"{n:06}")) for n in range(12)]
    assert "Too many failed attempts" in answers[-1]
    assert enrolled.gives_code(codes[1]).status_code == 200, "even the right one has to wait"


def test_factors_lie_sealed_in_the_database(enrolled: Person) -> None:
    stored = Authenticator.objects.get(type="totp").data["secret"]
    assert enrolled.secret not in stored
    assert sealing.unseal(stored) == enrolled.secret


def test_another_secret_key_opens_factors_only_as_a_fallback(enrolled: Person, settings: Settings) -> None:
    stored = Authenticator.objects.get(type="totp").data["secret"]
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another-key-of-fifty-characters-another-key-of-fifty"
    assert sealing.unseal(stored) not in ("", enrolled.secret)
    assert sealing.unseal(stored) != sealing.unseal(stored), "what does not open is nothing that could be known"
    settings.SECRET_KEY_FALLBACKS = [old]
    assert sealing.unseal(stored) == enrolled.secret


@pytest.mark.usefixtures("required")
def test_the_last_factor_stays_where_one_is_required(enrolled: Person) -> None:
    enrolled.gives_password()
    enrolled.gives_code()
    answer = enrolled.post(reverse("mfa_deactivate_totp"))
    assert "add another one before" in text_of(answer)
    assert Authenticator.objects.filter(type="totp").exists()


def test_a_lost_factor_is_reset_by_an_administrator_or_on_the_machine(enrolled: Person, person: Make) -> None:
    boss = person("boss", roles.ADMINISTRATOR, signed_in=True)
    address = reverse("admin:access_user_reset_factor", args=[enrolled.user.pk])
    enrolled.gives_password()
    enrolled.gives_code()
    assert boss.get(address).status_code == 200
    assert Authenticator.objects.exists(), "asking does nothing yet"
    assert boss.post(address, {"confirm": "yes"}).status_code == 302
    assert not Authenticator.objects.exists()
    assert enrolled.get(FIRST).url.startswith(SIGN_IN), "sessions of before are over"
    assert Event.objects.get(kind="access.factor_reset").actor == "boss"
    assert enrolled.gives_password().url == FIRST
    enrolled.steps = 0
    cache.clear()
    enrolled.enrols()
    call_command("secondfactor", "reset", "ann", "--json")
    assert not Authenticator.objects.exists()


def test_five_failures_lock_a_name_out_from_one_address_in_clear_words(person: Make) -> None:
    ann = person("ann")
    answers = [ann.gives_password(f"wrong {n}") for n in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429]
    locked = ann.gives_password()
    assert locked.status_code == 429, "not even with the right password"
    assert "15 minutes" in text_of(locked)
    assert "axes_reset_username" in text_of(locked)
    assert locked["Retry-After"] == "900"
    assert Event.objects.get(kind="access.locked_out").payload == {"username": "ann", "address": "127.0.0.1"}
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    assert elsewhere.post(SIGN_IN, {"username": "ann", "password": PASSWORD}).status_code == 302
    assert person("bob").gives_password().status_code == 302
    call_command("axes_reset_username", "ann")
    assert ann.gives_password().url == FIRST


def test_of_many_sign_ins_from_one_address_few_are_looked_at(person: Make) -> None:
    person("ann")
    looked_at = 0
    for n in range(100):
        answer = Client().post(SIGN_IN, {"username": f"user{n}", "password": "wrong"})
        looked_at += "The name or the password is wrong." in text_of(answer)
    assert looked_at == 30
    assert "Too many failed attempts" in text_of(answer) or answer.status_code == 429


def test_an_inactive_user_is_told_nothing_they_should_not_know(person: Make) -> None:
    ann = person("ann", is_active=False)
    assert "The name or the password is wrong." in text_of(ann.gives_password())


def test_nobody_signs_up(client: Client) -> None:
    for path in ("/account/signup/", "/accounts/signup/", "/account/password/reset/", "/account/email/"):
        assert client.get(path).status_code == 404
    assert not User.objects.exists()
