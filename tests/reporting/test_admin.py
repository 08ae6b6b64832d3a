"""The pages of notifications: secrets go in and never come out, people see their own, previews show real events."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from apps.access.models import User
from apps.reporting.models import BindingCode, Channel, Chat, Delivery, Route, Wording
from apps.reporting.services import dispatching, keeping
from tests.factories import make_user, now
from tests.reporting import providers
from tests.reporting.providers import Web
from tests.reporting.world import SECRET, TOKEN, Clock, begin, controlled, route, say, webhook, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("key_file")]


@pytest.fixture(autouse=True)
def _pages(settings: Settings, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path
    settings.SECOND_FACTOR = "offered"
    settings.REAUTHENTICATE_BEFORE = ()  # that these pages ask anew who one is, tests/access shows


@pytest.fixture
def desk(person: User) -> Client:
    browser = Client()
    browser.force_login(person)
    return browser


def url(name: str, *args: Any) -> str:
    return reverse(f"admin:reporting_{name}", args=args)


def test_a_channel_is_stored_and_its_secret_is_never_shown(desk: Client, web: Web) -> None:
    assert desk.post(url("channel_add"), {"kind": "webhook"}).url.endswith("?kind=webhook")
    values = {"name": "hook", "per_minute": 20, "url": f"{web.url}/in", "secret": SECRET}
    desk.post(url("channel_add") + "?kind=webhook", values)
    row = Channel.objects.get()
    for address in (url("channel_changelist"), url("channel_change", row.pk), url("channel_replace_it", row.pk)):
        page = desk.get(address).content.decode()
        assert "hook" in page
        assert SECRET not in page
    assert desk.post(url("channel_try_it", row.pk)).status_code == 302
    assert web.asked[0].json["kind"] == "channel.trial"


def test_what_is_wrong_comes_back_beside_its_field(desk: Client) -> None:
    values = {"name": "hook", "per_minute": 20, "url": "https://user@example.org", "secret": "short"}
    page = desk.post(url("channel_add") + "?kind=webhook", values).content.decode()
    assert "names a user" in page
    assert "shorter than 16" in page
    assert not Channel.objects.exists()


def test_a_trial_that_fails_says_why(desk: Client, person: User, web: Web) -> None:
    row = webhook(person, web.url)
    web.answer = lambda _: providers.status(404)
    assert "HTTP 404" in desk.post(url("channel_try_it", row.pk)).content.decode()


def test_replacing_switching_and_deleting(desk: Client, person: User, web: Web) -> None:
    row = webhook(person, web.url)
    desk.post(url("channel_replace_it", row.pk), {"url": f"{web.url}/other", "secret": SECRET})
    assert keeping.everything(Channel.objects.get())["url"].endswith("/other")
    desk.post(url("channel_switch_it", row.pk))
    assert not Channel.objects.get().enabled
    made = route(row, person)
    assert "switch it off instead" in desk.post(url("channel_delete_it", row.pk)).content.decode()
    Route.objects.filter(pk=made.pk).delete()
    desk.post(url("channel_delete_it", row.pk))
    assert not Channel.objects.exists()


def test_who_changes_the_row_cannot_have_the_secret_sent_elsewhere(person: User, web: Web) -> None:
    row = controlled(person, web.url)
    Channel.objects.filter(pk=row.pk).update(options={**row.options, "address": "https://thief.example.org"})
    with pytest.raises(keeping.sealing.KeyUnusable):
        keeping.opened(Channel.objects.get())


def test_a_chat_is_bound_by_a_code_shown_once(desk: Client, person: User, web: Web) -> None:
    row = controlled(person, web.url)
    answer = desk.post(url("channel_bind_chat", row.pk), {"person": person.pk}, follow=True).content.decode()
    code = re.search(r"/bind ([\w-]{22})", answer)
    assert code
    assert BindingCode.objects.get().digest not in answer
    assert code[1] not in desk.get(url("channel_change", row.pk)).content.decode()
    assert (
        "takes no orders"
        in desk.post(url("channel_bind_chat", webhook(person, web.url).pk), {"person": person.pk}).content.decode()
    )


def clerk(*permissions: str) -> tuple[User, Client]:
    user = make_user("clerk", is_staff=True)
    for name in permissions:
        user.user_permissions.add(Permission.objects.get(codename=name, content_type__app_label="reporting"))
    browser = Client()
    browser.force_login(user)
    return user, browser


ALL = [
    f"{verb}_{model}"
    for verb in ("view", "add", "change", "delete")
    for model in ("channel", "route", "delivery", "chat")
]


def test_people_see_and_use_their_own_only(person: User, web: Web, clock: Clock) -> None:
    foreign = webhook(person, web.url)
    begin(clock)
    theirs = route(foreign, person)
    say()
    dispatching.dispatch(clock())
    delivery = Delivery.objects.get()
    chat = Chat.objects.create(channel=foreign, chat_id=1, person=person, bound_at=now())
    user, browser = clerk(*ALL)
    for name in ("channel", "route", "delivery", "chat"):
        assert browser.get(url(f"{name}_changelist")).status_code == 200
    for address in (
        url("channel_replace_it", foreign.pk),
        url("channel_try_it", foreign.pk),
        url("channel_bind_chat", foreign.pk),
        url("delivery_send_again", delivery.pk),
        url("chat_release_it", chat.pk),
    ):
        assert browser.post(address).status_code in (302, 404), address
    assert browser.get(url("route_change", theirs.pk)).status_code == 302
    values = {"name": "spy", "enabled": "on", "kinds": "*", "severity": "info", "repeat_seconds": 0}
    page = browser.post(url("route_add"), {**values, "channel": foreign.pk, "person": person.pk}).content.decode()
    assert page.count("not one of the available choices") == 2
    assert not Route.objects.filter(name="spy").exists()
    assert Chat.objects.exists()
    own = webhook(user, web.url, name="own")
    browser.post(url("route_add"), {**values, "channel": own.pk, "person": user.pk})
    assert Route.objects.get(name="spy").person == user


def test_without_permission_nothing_is_changed(person: User, web: Web) -> None:
    user, browser = clerk("view_channel")
    row = webhook(user, web.url)
    for name in ("replace_it", "switch_it", "bind_chat", "delete_it", "try_it"):
        assert browser.post(url(f"channel_{name}", row.pk)).status_code == 403, name
    assert browser.get(url("channel_add")).status_code == 403


@pytest.mark.parametrize(
    ("kinds", "right"), [("position.*, exit.failed", True), ("*", True), ("Position!", False), (",", False)]
)
def test_a_route_names_kinds(desk: Client, person: User, web: Web, kinds: str, right: bool) -> None:
    row = webhook(person, web.url)
    values = {"name": "r", "channel": row.pk, "person": person.pk, "severity": "info", "repeat_seconds": 0}
    desk.post(url("route_add"), {**values, "kinds": kinds})
    assert Route.objects.exists() is right


def test_words_are_checked_and_previewed_on_a_real_event(desk: Client) -> None:
    values = {"kind": "feed.switched", "severity": "", "title": "{{ instrument }}", "body": "{{ to.__class__ }}"}
    assert "is no name of a fact" in desk.post(url("wording_add"), values).content.decode()
    assert not Wording.objects.exists()
    assert "counts on another source" in desk.get(url("wording_add") + "?kind=feed.switched").content.decode()
    desk.post(url("wording_add"), {**values, "body": "{{ to }}"})
    row = Wording.objects.get()
    say(instrument="BTC-USD", to="<b>kraken</b>")
    page = desk.post(
        url("wording_preview", row.pk), {"title": "Now {{ instrument }}", "body": "{{ to }}"}
    ).content.decode()
    assert "Now BTC-USD" in page
    assert "&lt;b&gt;kraken&lt;/b&gt;" in page
    assert Wording.objects.get().title == "{{ instrument }}"
    wrong = {"title": "{{ a", "body": "", "event": 10**9}
    assert "braces" in desk.post(url("wording_preview", row.pk), wrong).content.decode()


def test_the_log_shows_tries_and_sends_again(desk: Client, person: User, web: Web, clock: Clock) -> None:
    begin(clock)
    route(webhook(person, web.url), person, kinds="feed.*")
    web.answer = lambda _: providers.status(410, {"gone": "away"})
    say(instrument="BTC-USD")
    work(clock)
    row = Delivery.objects.get()
    page = desk.get(url("delivery_change", row.pk)).content.decode()
    assert "HTTP 410" in page
    assert "BTC-USD counts on another source" in page
    web.answer = lambda _: providers.ok()
    desk.post(url("delivery_send_again", row.pk))
    clock.at = now()
    work(clock)
    assert Delivery.objects.get(pk=row.pk).status == "sent"
    assert "wait until" in desk.post(url("delivery_send_again", _waiting(row))).content.decode()


def _waiting(row: Delivery) -> int:
    Delivery.objects.filter(pk=row.pk).update(status="waiting")
    return row.pk


def test_a_habit_needs_a_real_time_zone_and_two_ends(desk: Client, person: User) -> None:
    values = {"person": person.pk, "time_zone": "Mars/Olympus", "quiet_from": "22:00", "digest_at": "07:00"}
    page = desk.post(url("habit_add"), values).content.decode()
    assert "is no time zone" in page
    assert "a beginning and an end" in page


def test_the_token_is_in_no_page(desk: Client, person: User, web: Web) -> None:
    row = controlled(person, web.url)
    for address in (url("channel_changelist"), url("channel_change", row.pk), url("channel_history", row.pk)):
        assert TOKEN not in desk.get(address).content.decode()
