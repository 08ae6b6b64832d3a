"""`manage.py keys`: what it says, what it refuses, and that it says no secret."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.access.models import User
from apps.ops import first_run
from apps.trading import keyfile
from apps.trading.models import Credential
from apps.trading.services import rotating
from tests.trading.echo_broker import Venue
from tests.trading.keys_world import KEY, PHRASE, SECRET, connected, key_file, owner, stored, venue

__all__ = ["key_file", "owner", "venue"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("key_file")]


def run(*words: str) -> str:
    out = StringIO()
    call_command("keys", *words, stdout=out, stderr=out)
    assert not any(word in out.getvalue() for word in (KEY, SECRET, PHRASE))
    return out.getvalue()


def as_json(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


def test_the_list_names_everything_but_the_secrets(owner: User, venue: Venue, key_file: Path) -> None:
    connected(owner, stored(owner, venue.url))
    text = run("list")
    for word in ("main", "echo", f"...{KEY[-4:]}", "trade: yes, withdraw: no", "owner: at main", str(key_file)):
        assert word in text
    (row,) = as_json("list")["credentials"]
    assert (row["name"], row["ending"], row["may_withdraw"]) == ("main", KEY[-4:], False)
    assert "sealed" not in row


def test_a_check_says_which_keys_cannot_be_used(owner: User, venue: Venue) -> None:
    assert "There are no credentials." in run("check")
    stored(owner, venue.url)
    stored(owner, venue.url, name="second")
    assert run("check").count("ok ") == 2
    venue.rights["withdraw"] = True
    with pytest.raises(CommandError, match="2 of 2 credentials cannot be used"):
        run("check")
    with pytest.raises(CommandError, match="1 of 1 credentials cannot be used"):
        run("check", "second")
    asked = len(venue.asked)
    assert run("check", "--offline").count("opens") == 2
    assert len(venue.asked) == asked
    with pytest.raises(CommandError, match="no credential called 'third'"):
        run("check", "third")


def test_a_file_that_opens_nothing_is_one_clear_line(owner: User, venue: Venue, key_file: Path) -> None:
    stored(owner, venue.url)
    key_file.unlink()
    with pytest.raises(CommandError, match="1 of 1 credentials cannot be used"):
        run("check", "--offline")
    with pytest.raises(CommandError, match=r"is missing, but credentials are stored .* put it back"):
        run("create")
    assert not key_file.exists(), "a new file would hide that the old one is gone"
    for words in (("rotate",), ("rotate", "--prepare")):
        with pytest.raises(CommandError, match=r"The key file .* is missing"):
            run(*words)
    Credential.objects.all().delete()
    assert as_json("create") == {"made": True, "key_file": str(key_file)}
    assert as_json("create")["made"] is False


def test_rotating_in_one_step_and_in_two(owner: User, venue: Venue, key_file: Path) -> None:
    stored(owner, venue.url)
    assert as_json("rotate") == {"made": True, "resealed": 1, "retired": 1}
    assert as_json("rotate", "--prepare") == {"made": True}
    assert as_json("rotate", "--prepare") == {"made": False}
    first, _ = keyfile.read(key_file)
    copy = key_file.read_bytes()
    text = run("rotate")
    assert "1 credentials are sealed with a new key; 1 old keys left" in text
    assert "An earlier change of keys was completed" in text
    assert keyfile.read(key_file) == [first]
    key_file.write_bytes(copy)
    assert "opens" in run("check", "--offline"), "a machine with the prepared copy reads what the other one sealed"


def test_the_first_start_makes_the_file_and_later_ones_say_that_it_is_gone(
    owner: User, venue: Venue, key_file: Path
) -> None:
    key_file.unlink()
    assert first_run._key_file() == ()
    assert key_file.exists()
    stored(owner, venue.url)
    key_file.unlink()
    (note,) = first_run._key_file()
    assert str(key_file) in note
    assert not key_file.exists()
    with pytest.raises(keyfile.KeyUnusable):
        rotating.create()
