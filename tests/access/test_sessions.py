"""Sessions: listed, ended by hand, ended by time, ended by a new password; and what counts as doing something."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from apps.access import roles, sessions
from apps.access.desk import pages
from apps.access.models import SignIn
from apps.journal.models import Event
from apps.web.gateway import grants
from tests.access.conftest import PASSWORD, SIGN_IN, Person, now, text_of

Make = Callable[..., Person]
FIRST = "/desk/"
LIST = "/account/sessions/"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Move the clock that doors read, Django's own for sessions included."""
    ahead = timedelta()

    def move(by: timedelta) -> None:
        nonlocal ahead
        ahead += by

    monkeypatch.setattr("django.utils.timezone.now", lambda: now() + ahead)
    return move


@pytest.fixture
def ann(person: Make) -> Person:
    made = person("ann", roles.VIEWER)
    made.gives_password()
    return made


def another(person: Person, agent: str = "Another browser") -> Client:
    browser = Client(REMOTE_ADDR="192.0.2.9", headers={"user-agent": agent})
    assert browser.post(SIGN_IN, {"username": person.user.username, "password": PASSWORD}).status_code == 302
    return browser


def test_one_sees_where_one_is_signed_in_and_nobody_else(ann: Person, person: Make) -> None:
    another(ann)
    another(person("bob"), "Bob's browser")
    page = text_of(ann.get(LIST))
    assert "Another browser" in page
    assert "192.0.2.9" in page
    assert "this one" in page
    assert "Bob" not in page


def test_a_session_is_ended_from_elsewhere_at_once(ann: Person) -> None:
    other = another(ann)
    key = other.session.session_key
    assert grants.rights(grants.Session(key), now()) is not None, "its socket lives"
    row = SignIn.objects.get(session_key=key)
    assert ann.post(reverse("account-session-end", args=[row.pk])).url == LIST
    assert other.get(FIRST).url.startswith(SIGN_IN)
    assert grants.rights(grants.Session(key), now()) is None, "and its socket ends"
    assert ann.get(FIRST).status_code == 200
    assert Event.objects.get(kind="access.sessions_ended").payload == {"sessions": 1}


def test_nobody_ends_a_session_of_somebody_else(ann: Person, person: Make) -> None:
    bob = person("bob")
    bob.gives_password()
    row = SignIn.objects.get(user=bob.user)
    assert ann.post(reverse("account-session-end", args=[row.pk])).status_code == 404
    assert ann.get(reverse("account-session-end", args=[row.pk])).status_code == 405
    assert bob.get(FIRST).status_code == 200


def test_all_others_are_ended_with_one_button(ann: Person) -> None:
    others = [another(ann) for _ in range(3)]
    assert "3 other sessions ended" in text_of(ann.browser.post(reverse("account-sessions-end"), follow=True))
    assert all(other.get(FIRST).status_code == 302 for other in others)
    assert ann.get(FIRST).status_code == 200


def test_a_new_password_ends_all_other_sessions(ann: Person) -> None:
    other = another(ann)
    new = "an-even-longer-password-4-a-test"
    given = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert ann.post("/admin/password_change/", given).status_code == 302
    assert other.get(FIRST).url.startswith(SIGN_IN)
    assert ann.get(FIRST).status_code == 200


@pytest.mark.parametrize("staff", [True, False], ids=["staff", "others"])
def test_everybody_changes_their_password_and_stays_signed_in_here_alone(person: Make, staff: bool) -> None:
    zoe = person("zoe", is_staff=staff)
    zoe.gives_password()
    other = another(zoe)
    new = "an-even-longer-password-4-a-test"
    assert "wrong" not in text_of(zoe.get("/account/password/"))
    bad = zoe.post("/account/password/", {"oldpassword": "wrong", "password1": new, "password2": new})
    assert bad.status_code == 200
    assert other.get(FIRST).status_code == 200
    assert zoe.post("/account/password/", {"oldpassword": PASSWORD, "password1": new, "password2": new}).url == LIST
    assert other.get(FIRST).url.startswith(SIGN_IN)
    assert zoe.get(FIRST).status_code == 200
    (row,) = sessions.listed(zoe.user, now=now())
    assert row.session_key == zoe.browser.session.session_key, "the list follows the session's new key"
    assert zoe.gives_password(new, SIGN_IN).status_code == 302


def test_a_password_set_by_an_administrator_ends_all_sessions(ann: Person, person: Make) -> None:
    boss = person("boss", superuser=True, signed_in=True)
    new = "an-even-longer-password-4-a-test"
    address = reverse("admin:auth_user_password_change", args=[ann.user.pk])
    assert boss.post(address, {"password1": new, "password2": new, "usable_password": "true"}).status_code == 302
    assert ann.get(FIRST).url.startswith(SIGN_IN)
    assert not sessions.listed(ann.user, now=now())
    assert boss.get(FIRST).status_code == 200


def test_signing_out_takes_the_session_off_the_list(ann: Person) -> None:
    ann.post("/admin/logout/")
    assert SignIn.objects.get().ended_at is not None
    assert not Session.objects.exists()


def test_half_an_hour_without_anything_done_ends_a_session(ann: Person, clock: Callable[[timedelta], None]) -> None:
    clock(timedelta(minutes=29))
    assert ann.get(FIRST).status_code == 200
    clock(timedelta(minutes=29))
    assert ann.get(FIRST).status_code == 200, "doing something begins the half hour anew"
    key = ann.browser.session.session_key
    clock(timedelta(minutes=31))
    assert grants.rights(grants.Session(key), pages.now()) is None, "the socket ends with the session"
    assert ann.get(FIRST).url.startswith(SIGN_IN)


@pytest.mark.parametrize("headers", [{"hx-request": "true"}, {"sec-fetch-mode": "cors"}], ids=["htmx", "fetch"])
def test_a_page_that_asks_again_by_itself_keeps_nobody_signed_in(
    ann: Person, clock: Callable[[timedelta], None], headers: dict[str, str]
) -> None:
    answers = []
    for _ in range(4):
        clock(timedelta(minutes=9))
        answers.append(ann.get(FIRST, **headers).status_code)
    assert answers == [200, 200, 200, 302]


def test_twelve_hours_end_a_session_however_busy_it_is(ann: Person, clock: Callable[[timedelta], None]) -> None:
    answers = []
    for _ in range(37):
        clock(timedelta(minutes=20))
        answers.append(ann.get(FIRST).status_code)
    assert answers == [200] * 35 + [302] * 2
    assert "12 hours" in text_of(ann.get(f"{SIGN_IN}?next=/statistics"))


def test_being_there_is_written_at_most_once_a_minute(ann: Person, clock: Callable[[timedelta], None]) -> None:
    def seen() -> datetime:
        return SignIn.objects.get().seen_at

    first = seen()
    ann.get("/api/v1/accounts")
    assert seen() == first
    with CaptureQueriesContext(connection) as queries:
        ann.get("/api/v1/accounts")
    assert not [query for query in queries if query["sql"].lstrip().split(" ", 1)[0] in ("UPDATE", "INSERT", "DELETE")]
    clock(timedelta(seconds=61))
    ann.get("/api/v1/accounts")
    assert seen() > first


def test_a_session_of_an_older_version_begins_its_clocks_now(ann: Person) -> None:
    session = ann.browser.session
    for name in (sessions.BEGAN, sessions.SEEN):
        del session[name]
    session.save()
    assert ann.get(FIRST).status_code == 200
    assert sessions.BEGAN in ann.browser.session


def test_administrators_end_sessions_of_others_but_not_of_superusers(ann: Person, person: Make) -> None:
    boss = person("boss", roles.ADMINISTRATOR, signed_in=True)
    root = person("root", superuser=True)
    root.gives_password()
    rows = SignIn.objects.filter(user__in=[ann.user, root.user])
    chosen = {"action": "end", "_selected_action": [row.pk for row in rows]}
    boss.post(reverse("admin:access_signin_changelist"), chosen)
    assert ann.get(FIRST).status_code == 302
    assert root.get(FIRST).status_code == 200


def test_a_viewer_sees_only_their_own_sign_ins_in_the_admin(ann: Person, person: Make) -> None:
    bob = person("bob")
    bob.gives_password()
    row = SignIn.objects.get(user=bob.user)
    assert ann.get(reverse("admin:access_signin_change", args=[row.pk])).status_code in (302, 403, 404)


def test_the_settings_say_how_long(ann: Person, settings: Settings) -> None:
    settings.SESSION_IDLE = timedelta(minutes=5)
    session = ann.browser.session
    session[sessions.SEEN] -= 61
    session.save()
    ann.get(FIRST)
    left = ann.browser.session.get_expiry_date() - pages.now()
    assert timedelta(minutes=4) < left <= timedelta(minutes=5)
