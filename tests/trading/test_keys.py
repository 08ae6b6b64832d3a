"""Credentials: sealed in the database, opened for a call, refused where they could do harm."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from apps.access.models import User
from apps.domain.errors import Refused
from apps.journal.models import Event
from apps.trading import sealing
from apps.trading.brokers.base import Access
from apps.trading.models import Account, Credential
from apps.trading.sealing import KeyUnusable
from apps.trading.services import keys
from tests import factories
from tests.trading.echo_broker import Venue
from tests.trading.keys_world import KEY, NOW, PHRASE, SECRET, connected, key_file, new, owner, stored, venue

__all__ = ["key_file", "owner", "venue"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("key_file")]


def fields(refused: "pytest.ExceptionInfo[Refused]") -> set[str]:
    return {problem.field for problem in refused.value.problems}


def test_a_credential_comes_back_for_a_call_and_only_encrypted_to_the_database(owner: User, venue: Venue) -> None:
    account = connected(owner, stored(owner, venue.url), speed=3)
    access = keys.access_of(Account.objects.get(pk=account.pk))
    assert access == Access(
        address=venue.url, key=KEY, secret=SECRET, passphrase=PHRASE, options={"place": "inland", "speed": 3}
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT c::text, convert_from(sealed, 'LATIN1') FROM trading_credential c")
        text = str(cursor.fetchall())
    assert not any(word in text for word in (KEY, SECRET, PHRASE, KEY[:8]))
    assert Credential.objects.get().ending == KEY[-4:]


def test_what_the_venue_says_of_a_key_is_kept(owner: User, venue: Venue) -> None:
    row = Credential.objects.get(pk=stored(owner, venue.url).pk)
    assert (row.may_trade, row.may_withdraw, row.checked_at) == (True, False, NOW)
    event = Event.objects.get(kind="credential.stored")
    assert event.actor == "owner"
    assert event.account_id is None
    assert event.payload["ending"] == KEY[-4:]


def test_a_key_that_may_withdraw_is_never_stored(owner: User, venue: Venue) -> None:
    venue.rights["withdraw"] = True
    with pytest.raises(Refused, match="may withdraw money") as refused:
        keys.store(new(owner, venue.url), now=NOW)
    assert KEY not in str(refused.value)
    assert not Credential.objects.exists()


def test_a_key_that_the_venue_rejects_is_not_stored(owner: User, venue: Venue) -> None:
    venue.status = 401
    with pytest.raises(Refused, match="not accepted by the venue") as refused:
        keys.store(new(owner, venue.url), now=NOW)
    assert "X-Secret" in str(refused.value), "the venue's words are there, without the secret"
    assert not any(word in str(refused.value) for word in (KEY, SECRET, PHRASE))
    assert not Credential.objects.exists()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_venue_that_does_not_answer_leaves_the_key_unchecked(owner: User, venue: Venue, status: int) -> None:
    venue.status = status
    checked = keys.store(new(owner, venue.url), now=NOW)
    assert not checked.answered
    assert "did not say" in checked.trouble
    assert not any(word in checked.trouble for word in (KEY, SECRET, PHRASE))
    assert Credential.objects.get().checked_at is None


@pytest.mark.parametrize("trade", [True, None])
def test_a_venue_that_does_not_tell_of_withdrawals_is_quoted_so(owner: User, venue: Venue, trade: bool | None) -> None:
    venue.rights = {"trade": trade, "withdraw": None}
    checked = keys.store(new(owner, venue.url), now=NOW)
    assert checked.answered
    assert "does not tell whether a key may withdraw" in checked.trouble
    assert Credential.objects.get().may_withdraw is None


def test_a_check_keeps_what_is_new_and_refuses_a_key_that_may_now_withdraw(owner: User, venue: Venue) -> None:
    row = stored(owner, venue.url)
    venue.rights["withdraw"] = True
    with pytest.raises(Refused, match="may withdraw"):
        keys.check(row, now=NOW)
    assert Credential.objects.get().may_withdraw is True
    assert Event.objects.filter(kind="credential.checked").count() == 1
    venue.rights["withdraw"] = False
    assert keys.check(row, now=NOW).answered
    assert Credential.objects.get().may_withdraw is False


def test_a_check_without_an_answer_forgets_nothing(owner: User, venue: Venue) -> None:
    row = stored(owner, venue.url)
    venue.status = 500
    checked = keys.check(row, now=NOW.replace(hour=16))
    assert not checked.answered
    found = Credential.objects.get()
    assert (found.may_trade, found.may_withdraw, found.checked_at) == (True, False, NOW)


def test_replacing_puts_other_secrets_in_and_asks_about_them(owner: User, venue: Venue) -> None:
    row = stored(owner, venue.url)
    account = connected(owner, row)
    keys.replace(row, keys.Secrets(key="another-key-0001", secret="another secret"), now=NOW, actor="owner")
    access = keys.access_of(Account.objects.get(pk=account.pk))
    assert (access.key, access.secret, access.passphrase) == ("another-key-0001", "another secret", "")
    assert Credential.objects.get().ending == "0001"
    assert venue.asked[-1]["X-Key"] == "another-key-0001"
    assert Event.objects.filter(kind="credential.replaced").exists()


def test_a_replacement_that_may_withdraw_leaves_the_old_one(owner: User, venue: Venue) -> None:
    row = stored(owner, venue.url)
    account = connected(owner, row)
    venue.rights["withdraw"] = True
    with pytest.raises(Refused):
        keys.replace(row, keys.Secrets(key="another-key-0001", secret="x"), now=NOW)
    assert keys.access_of(Account.objects.get(pk=account.pk)).key == KEY


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        pytest.param({"name": "  "}, "name", id="no name"),
        pytest.param({"name": "x" * 81}, "name", id="a long name"),
        pytest.param({"broker": "nowhere"}, "broker", id="an unknown broker"),
        pytest.param({"broker": "paper"}, "broker", id="paper asks for no key"),
        pytest.param({"options": {"place": "nowhere"}}, "place", id="a word that is none"),
        pytest.param({"broker": "library"}, "broker", id="a library is missing"),
        pytest.param({"options": {"speed": 3}}, "speed", id="an option that is the account's"),
        pytest.param({"key": "short"}, "key", id="a key that its ending would show"),
        pytest.param({"secret": "x" * 8193}, "secret", id="a long secret"),
        pytest.param({"address": "http://venue.example"}, "address", id="plain http to the world"),
        pytest.param({"address": "https://user:pass@venue.example"}, "address", id="a password in the address"),
        pytest.param({"address": "https://venue.example/?next=1"}, "address", id="a query"),
        pytest.param({"address": "file:///etc/passwd"}, "address", id="a file"),
        pytest.param({"address": "http://localhost.evil.example"}, "address", id="a name that only begins well"),
        pytest.param({"address": "http://127.0.0.1:99999"}, "address", id="a port that is none"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_without_the_secret(
    owner: User, venue: Venue, wrong: dict[str, Any], field: str
) -> None:
    with pytest.raises(Refused) as refused:
        keys.store(new(owner, wrong.pop("address", venue.url), **wrong), now=NOW)
    assert fields(refused) == {field}
    assert not any(value in str(refused.value) for value in (KEY, SECRET, PHRASE, "x" * 300, "pass@"))
    assert venue.asked == []


def test_a_name_is_an_owners_own(owner: User, venue: Venue) -> None:
    stored(owner, venue.url)
    with pytest.raises(Refused, match="another credential"):
        keys.store(new(owner, venue.url), now=NOW)
    assert stored(factories.make_user("somebody else"), venue.url).name == "main"


PEM = (
    "-----BEGIN EC PRIVATE KEY-----\n" + "\n".join(["A" * 64, "B" * 64, "C" * 36]) + "\n-----END EC PRIVATE KEY-----\n"
)


@pytest.mark.parametrize("spelled", [PEM, PEM.replace("\n", "\\n"), PEM.replace("\n", ""), PEM.replace("\n", " ")])
def test_a_pem_key_survives_forms_and_json(owner: User, venue: Venue, spelled: str) -> None:
    account = connected(owner, stored(owner, venue.url, secret=spelled))
    assert keys.access_of(account).secret == PEM


def test_a_credential_in_use_is_not_deleted(owner: User, venue: Venue) -> None:
    row = stored(owner, venue.url)
    account = connected(owner, row)
    with pytest.raises(Refused, match="used by at main"):
        keys.remove(row)
    assert Credential.objects.exists()
    assert not Event.objects.filter(kind="credential.deleted").exists()
    Account.objects.filter(pk=account.pk).update(credential=None)
    keys.remove(row, actor="owner")
    assert not Credential.objects.exists()
    assert Event.objects.get(kind="credential.deleted").actor == "owner"


@pytest.mark.parametrize("column", ["address", "broker", "owner", "options"])
def test_who_can_write_to_the_database_cannot_have_a_secret_sent_elsewhere(
    owner: User, venue: Venue, column: str
) -> None:
    account = connected(owner, stored(owner, venue.url))
    other = factories.make_user("thief")
    values = {"address": "https://thief.example", "options": {"place": "abroad"}, "broker": "paper", "owner": other.pk}
    Credential.objects.update(**{column: values[column]})
    if column in ("broker", "owner"):  # the thief changes the account as well
        Account.objects.update(**{column: values[column]})
    with pytest.raises(KeyUnusable, match="sealed for another owner, broker or address"):
        keys.access_of(Account.objects.get(pk=account.pk))


def test_an_account_never_uses_the_key_of_somebody_else(owner: User, venue: Venue) -> None:
    account = connected(owner, stored(owner, venue.url))
    theirs = stored(factories.make_user("other"), venue.url)
    Account.objects.filter(pk=account.pk).update(credential=theirs)
    with pytest.raises(Refused, match="another owner or broker"):
        keys.access_of(Account.objects.get(pk=account.pk))


def test_paper_needs_no_key(account: Account) -> None:
    assert keys.access_of(account) == Access(address="", options={})


def test_an_account_without_a_key_is_refused_in_a_sentence(account: Account) -> None:
    account.broker = "echo"
    with pytest.raises(Refused, match="has no credential; choose one"):
        keys.access_of(account)


def test_secrets_are_not_in_any_text_of_theirs(owner: User, venue: Venue) -> None:
    wanted = new(owner, venue.url)
    row = stored(owner, venue.url)
    access = keys.access_of(connected(owner, row))
    for text in (repr(wanted), str(wanted), repr(row), str(row), repr(access), json.dumps({"row": str(row)})):
        assert not any(word in text for word in (KEY, SECRET, PHRASE)), text


def test_a_missing_file_fails_closed_and_says_where_it_is_expected(owner: User, venue: Venue, key_file: Path) -> None:
    account = connected(owner, stored(owner, venue.url))
    key_file.unlink()
    with pytest.raises(KeyUnusable, match="is missing: put back") as error:
        keys.access_of(account)
    assert str(key_file) in str(error.value)
    assert error.value.permanent
    with pytest.raises(KeyUnusable, match="is missing"):
        keys.store(new(owner, venue.url, name="second"), now=NOW)
    assert Credential.objects.count() == 1


def test_another_file_fails_closed_and_names_the_credential(owner: User, venue: Venue, key_file: Path) -> None:
    account = connected(owner, stored(owner, venue.url))
    key_file.unlink()
    sealing.create()
    with pytest.raises(KeyUnusable, match="opens credential 'main': put back the key file") as error:
        keys.access_of(account)
    assert str(key_file) in str(error.value)


@pytest.mark.parametrize("damage", [b"", b"\x00", b"\xff" * 40, b"not base64"])
def test_a_damaged_row_fails_closed(owner: User, venue: Venue, damage: bytes) -> None:
    account = connected(owner, stored(owner, venue.url))
    Credential.objects.update(sealed=damage)
    with pytest.raises(KeyUnusable, match="opens credential"):
        keys.access_of(Account.objects.get(pk=account.pk))
