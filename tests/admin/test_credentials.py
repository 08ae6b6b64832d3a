"""Broker keys in the admin: written, checked, replaced, deleted; never shown, and never somebody else's."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from apps.access.models import User
from apps.trading import keyfile
from apps.trading.models import Account, Credential
from apps.trading.services import accounts, connecting
from apps.trading.services.connecting import Route
from tests.trading import echo_broker
from tests.trading.echo_broker import Venue
from tests.trading.keys_world import KEY, NOW, PHRASE, SECRET, stored

pytestmark = pytest.mark.django_db
Staff = Callable[..., tuple[User, Client]]
LIST, ADD = "/admin/trading/credential/", "/admin/trading/credential/add/?broker=echo"
VERBS = tuple(f"trading.{verb}_credential" for verb in ("view", "add", "change", "delete"))


@pytest.fixture(autouse=True)
def key_file(settings: Settings, tmp_path: Path) -> Path:
    settings.KEY_FILE = tmp_path / "keys" / "broker_keys"
    keyfile.create(settings.KEY_FILE)
    return settings.KEY_FILE


@pytest.fixture
def venue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Venue]:
    echo_broker.install(monkeypatch)
    with echo_broker.venue() as made:
        yield made


def given(owner: User, server: str, **more: str) -> dict[str, str]:
    values = {"owner": str(owner.pk), "name": "main", "place": "inland", "address": server}
    return {**values, "key": KEY, "secret": SECRET, "passphrase": PHRASE, **more}


def at(verb: str, row: Credential) -> str:
    return reverse(f"admin:trading_credential_{verb}", args=[row.pk])


def clean(text: str) -> bool:
    return not any(word in text for word in (KEY, SECRET, PHRASE))


def test_a_key_is_stored_and_never_shown(desk: Client, root: User, venue: Venue) -> None:
    assert 'type="password"' in desk.get(ADD).content.decode()
    answer = desk.post(ADD, given(root, venue.url), follow=True)
    page = answer.content.decode()
    row = Credential.objects.get()
    assert f"\u2026{KEY[-4:]}" in page
    assert "may not withdraw" in page
    assert 'type="password"' not in page, "its page has no field for it"
    for address in (LIST, answer.request["PATH_INFO"], at("replace_secrets", row), at("check_now", row)):
        found = desk.get(address, follow=True)
        assert found.status_code == 200, address
        assert clean(found.content.decode()), address


def test_the_broker_is_asked_for_first(desk: Client, root: User, venue: Venue) -> None:
    address = ADD.partition("?")[0]
    page = desk.get(address).content.decode()
    assert ">echo<" in page
    assert ">paper<" not in page
    assert desk.post(address, {"broker": "echo"}).url == ADD
    assert desk.post(address, given(root, venue.url, broker="paper")).status_code == 200
    said = desk.get(f"{address}?broker=library", follow=True).content.decode()
    assert "cannot be used here (its library is not installed)" in said
    desk.post(ADD, given(root, venue.url, place="nowhere"))
    assert not Credential.objects.exists()
    desk.post(ADD, given(root, venue.url, place="abroad"))
    assert Credential.objects.get().options == {"place": "abroad"}


def test_what_was_typed_does_not_come_back_on_a_refused_form(desk: Client, root: User, venue: Venue) -> None:
    venue.rights["withdraw"] = True
    for more in ({}, {"name": ""}, {"address": "http://venue.example"}, {"key": "short"}):
        page = desk.post(ADD, given(root, venue.url, **more)).content.decode()
        assert "errors" in page or "refused" in page or "may withdraw" in page
        assert clean(page), more
    assert "may withdraw money" in desk.post(ADD, given(root, venue.url)).content.decode()
    assert not Credential.objects.exists()


def test_a_missing_key_file_is_a_sentence_on_the_page(desk: Client, root: User, venue: Venue, key_file: Path) -> None:
    row = stored(root, venue.url)
    key_file.unlink()
    for address, values in (
        (ADD, given(root, venue.url, name="second")),
        (at("check_now", row), {}),
        (at("replace_secrets", row), {"key": KEY, "secret": SECRET, "address": venue.url}),
    ):
        answer = desk.post(address, values, follow=True)
        assert answer.status_code == 200
        assert f"The key file {key_file} is missing" in answer.content.decode(), address
    assert Credential.objects.count() == 1


def test_checking_and_replacing(desk: Client, root: User, venue: Venue) -> None:
    row = stored(root, venue.url)
    venue.rights["trade"] = False
    assert "opens. The venue took it" in desk.post(at("check_now", row), {}, follow=True).content.decode()
    assert Credential.objects.get().may_trade is False
    values = {"key": "replaced-key-5678", "secret": "another", "passphrase": "", "address": venue.url}
    page = desk.post(at("replace_secrets", row), values, follow=True).content.decode()
    assert "is replaced" in page
    assert "\u20265678" in page
    venue.rights["withdraw"] = True
    assert "may withdraw money" in desk.post(at("check_now", row), {}).content.decode()


def test_a_key_in_use_is_not_deleted_and_a_free_one_is(desk: Client, root: User, venue: Venue) -> None:
    row = stored(root, venue.url)
    account = accounts.open_account(owner_id=root.pk, name="at echo", deposit=Decimal(5), now=NOW)
    connecting.connect(account.pk, Route(broker="echo", credential_id=row.pk))
    assert "is used by at echo" in desk.post(at("delete_it", row), {}, follow=True).content.decode()
    assert desk.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    connecting.connect(account.pk, Route(broker="paper"))
    desk.post(at("delete_it", row), {})
    assert not Credential.objects.exists()


def test_each_person_sees_and_touches_only_their_own(staff: Staff, root: User, venue: Venue) -> None:
    mine_owner, browser = staff("clerk", *VERBS)
    theirs = stored(root, venue.url, name="of the boss")
    mine = stored(mine_owner, venue.url, name="of the clerk")
    page = browser.get(LIST).content.decode()
    assert "of the clerk" in page
    assert "of the boss" not in page
    for verb in ("check_now", "replace_secrets", "delete_it", "change"):
        address = at(verb, theirs)
        assert browser.get(address).status_code in (302, 404), address
        answer = browser.post(address, {"key": "stolen-key-1", "address": "https://thief.example"})
        assert answer.status_code in (302, 403, 404), address
    assert Credential.objects.get(pk=theirs.pk).address == venue.url
    assert browser.get(at("replace_secrets", mine)).status_code == 200
    browser.post(ADD, given(root, venue.url, name="in the name of the boss"))
    assert not Credential.objects.filter(name="in the name of the boss").exists()


def test_looking_is_not_touching(staff: Staff, venue: Venue) -> None:
    user, browser = staff("clerk", "trading.view_credential")
    row = stored(user, venue.url)
    assert browser.get(f"{LIST}{row.pk}/change/").status_code == 200
    for verb in ("check_now", "replace_secrets", "delete_it"):
        assert browser.post(at(verb, row), {"key": KEY}).status_code == 403, verb
    assert browser.post(ADD, given(user, venue.url, name="x")).status_code == 403
    assert Credential.objects.count() == 1


@pytest.fixture
def real(root: User, venue: Venue, account: Account) -> Account:
    row = stored(root, venue.url)
    connecting.connect(account.pk, Route(broker="echo", credential_id=row.pk))
    return account


def test_the_broker_is_chosen_in_two_steps(desk: Client, root: User, venue: Venue, account: Account) -> None:
    row = stored(root, venue.url)
    address = reverse("admin:trading_account_choose_broker", args=[account.pk])
    answer = desk.post(address, {"broker": "echo"})
    assert answer.url == f"{address}?broker=echo"
    assert "How fast." in desk.get(answer.url).content.decode()
    refused = desk.post(answer.url, {"credential": row.pk, "parameter_speed": "10"}).content.decode()
    assert "less than or equal to 9" in refused
    desk.post(answer.url, {"credential": row.pk, "parameter_speed": "4", "parameter_loud": "on"})
    account.refresh_from_db()
    assert (account.broker, account.credential_id, account.instant) == ("echo", row.pk, False)
    assert account.broker_options == {"speed": 4, "loud": True}
    page = desk.get(reverse("admin:trading_account_change", args=[account.pk])).content.decode()
    assert "sandbox" in page
    assert "loud" in page


def test_the_list_says_loudly_where_real_money_moves(desk: Client, real: Account) -> None:
    address = reverse("admin:trading_account_changelist")
    assert ">sandbox<" in desk.get(address).content.decode()
    Credential.objects.update(address="https://api.echo.example")
    assert "real venue, switched off" in desk.get(address).content.decode()
    Account.objects.filter(pk=real.pk).update(live=True)
    assert "REAL MONEY" in desk.get(address).content.decode()


def test_going_live_takes_a_right_of_its_own(staff: Staff, real: Account, venue: Venue) -> None:
    rights = ("trading.view_account", "trading.change_account")
    user, browser = staff("clerk", *rights)
    Account.objects.filter(pk=real.pk).update(owner=user)
    address = reverse("admin:trading_account_real_money", args=[real.pk])
    assert browser.post(address, {"typed_name": real.name}).status_code == 403
    Account.objects.filter(pk=real.pk).update(live=True)
    assert "Stop real trading" in browser.get(address).content.decode()
    browser.post(address, {})
    assert not Account.objects.get(pk=real.pk).live, "to stop takes no such right"


def test_going_live_is_asked_for_by_name(desk: Client, real: Account, venue: Venue) -> None:
    address = reverse("admin:trading_account_real_money", args=[real.pk])
    page = desk.post(address, {"typed_name": "papre"}).content.decode()
    assert "is not the account" in page
    assert "trades in a sandbox" in desk.post(address, {"typed_name": real.name}).content.decode()
    assert not Account.objects.get(pk=real.pk).live


def test_saving_costs_never_switches_anything(desk: Client, real: Account) -> None:
    address = reverse("admin:trading_account_change", args=[real.pk])
    form = desk.get(address).context["adminform"].form
    shown = {name: form[name].value() for name in form.fields}
    values = {name: "" if value is None else value for name, value in shown.items()} | {
        "name": "renamed",
        "change_reason": "a test",
        "live": "on",
        "broker": "paper",
    }
    assert desk.post(address, values).status_code == 302
    real.refresh_from_db()
    assert (real.name, real.live, real.broker) == ("renamed", False, "echo")
