"""The command that makes, lists and revokes tokens."""

import io
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.access import selectors, services
from apps.access.models import ApiToken, Scope, User

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("apitoken", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada")


def now() -> datetime:
    return datetime.now(UTC)


def test_a_new_token_is_printed_alone_and_stored_only_as_its_digest(ada: User) -> None:
    out, _ = run("create", "--user", "ada", "--scope", "read")
    text = out.strip()
    assert re.fullmatch(r"ts_[0-9a-f]{64}", text)
    assert out == f"{text}\n"
    token = ApiToken.objects.get()
    assert (token.user, token.scope, token.expires_at) == (ada, "read", None)
    assert text.startswith(token.prefix)
    assert len(token.prefix) < 16
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM access_apitoken t")
        assert text not in cursor.fetchone()[0]
    assert selectors.token_of(text) == token


def test_no_two_tokens_are_alike(ada: User) -> None:
    assert len({run("create", "--user", "ada", "--scope", "read")[0] for _ in range(20)}) == 20


def test_a_trader_without_an_account_is_told_on_standard_error(ada: User) -> None:
    out, err = run("create", "--user", "ada", "--scope", "trade")
    assert out.startswith("ts_")
    assert "no account" in err
    assert run("create", "--user", "ada", "--scope", "read")[1] == ""


def test_json_and_expiry(ada: User) -> None:
    out, _ = run("create", "--user", "ada", "--scope", "admin", "--name", "robot", "--expires-days", "7", "--json")
    facts: dict[str, Any] = json.loads(out)
    assert facts["token"].startswith(facts["prefix"])
    assert (facts["scope"], facts["name"], facts["user"]) == ("admin", "robot", "ada")
    left = datetime.fromisoformat(facts["expires_at"]) - now()
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("create", "--user", "nobody", "--scope", "read"), "nobody"),
        (("create", "--user", "ada", "--scope", "all"), "scope"),
        (("create", "--user", "ada"), "--scope"),
        (("create", "--user", "ada", "--scope", "read", "--expires-days", "0"), "days"),
        (("create", "--user", "ada", "--scope", "read", "--expires-days", "\uff17"), "days"),
        (("create", "--user", "ada", "--scope", "read", "--name", "x" * 81), "80"),
        (("revoke", "ts_00000000"), "ts_00000000"),
        (("revoke", "ts"), "characters"),
        (("list", "--user", "nobody"), "nobody"),
        ((), "create|list|revoke"),
    ],
)
def test_what_is_wrong_is_one_line(ada: User, arguments: tuple[str, ...], word: str) -> None:
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not ApiToken.objects.exists()


def test_list_shows_what_can_be_recognised_and_never_the_token(ada: User) -> None:
    text = run("create", "--user", "ada", "--scope", "trade", "--name", "robot")[0].strip()
    out, _ = run("list")
    assert text[:11] in out
    assert "robot" in out
    assert text not in out
    assert "usable" in out
    (row,) = json.loads(run("list", "--json")[0])
    assert set(row) == {
        "prefix",
        "user",
        "scope",
        "name",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
        "networks",
        "seen_from",
    }


@pytest.mark.parametrize("whole", [True, False])
def test_a_revoked_token_is_unusable_at_once(ada: User, whole: bool) -> None:
    text = run("create", "--user", "ada", "--scope", "trade")[0].strip()
    kept = run("create", "--user", "ada", "--scope", "trade")[0].strip()
    run("revoke", text if whole else text[:11])
    gone, other = selectors.token_of(text), selectors.token_of(kept)
    assert gone is not None
    assert other is not None
    assert "revoked" in selectors.why_unusable(gone, now())
    assert selectors.why_unusable(other, now()) == ""
    assert "revoked" in run("list")[0]


def test_an_unmigrated_database_is_one_clear_line(ada: User) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE access_user RENAME TO gone")  # undone with the test
    with pytest.raises(CommandError, match=r"manage\.py migrate"):
        run("create", "--user", "ada", "--scope", "read")


def test_a_database_that_is_away_is_one_line_and_status_one() -> None:
    environment = {**os.environ, "DATABASE_URL": "postgresql://x:y@127.0.0.1:1/z"}
    done = subprocess.run(
        [sys.executable, "-m", "django", "apitoken", "create", "--user", "ada", "--scope", "read"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "database does not answer" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("have", "reaches"), [("read", 1), ("trade", 2), ("admin", 3)])
def test_each_scope_includes_those_before_it(have: str, reaches: int) -> None:
    assert [selectors.includes(have, wanted) for wanted in Scope] == [n < reaches for n in range(3)]


def test_use_is_recorded_once_a_minute(ada: User) -> None:
    at = now()
    token = services.create_token(user=ada, scope=Scope.READ, now=at).token
    for later, recorded in ((0, 0), (59, 0), (60, 60), (100, 60), (121, 121)):
        token.refresh_from_db()
        services.record_use(token, now=at + timedelta(seconds=later))
        token.refresh_from_db()
        assert token.last_used_at == at + timedelta(seconds=recorded)
