"""Tokens that are bound to networks, and the addresses a token was seen from."""

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from apps.access import selectors, services
from apps.access.models import ApiToken, Scope
from tests.web.conftest import Caller, now

URL = "/api/v1/instruments"


def bound(caller: Caller, *networks: str) -> str:
    return services.create_token(user=caller.user, scope=Scope.READ, now=now(), networks=networks).text


def status(token: str, address: str) -> int:
    return Client(REMOTE_ADDR=address).get(URL, headers={"authorization": f"Bearer {token}"}).status_code


@pytest.mark.parametrize(
    ("networks", "address", "expected"),
    [
        (("10.1.0.0/16",), "10.1.2.3", 200),
        (("10.1.0.0/16",), "10.2.0.1", 401),
        (("192.0.2.7",), "192.0.2.7", 200),
        (("192.0.2.7",), "192.0.2.8", 401),
        (("10.1.0.0/16", "2001:db8::/32"), "2001:db8::5", 200),
        (("10.1.0.0/16",), "2001:db8::5", 401),
        (("10.1.0.0/16",), "", 401),
        ((), "203.0.113.9", 200),
    ],
)
def test_it_counts_only_from_there(ada: Caller, networks: tuple[str, ...], address: str, expected: int) -> None:
    assert status(bound(ada, *networks), address) == expected


def test_where_the_address_is_not_known_a_bound_token_is_refused(ada: Caller) -> None:
    token = selectors.token_of(bound(ada, "10.1.0.0/16"))
    assert token is not None
    assert "only from 10.1.0.0/16" in selectors.why_unusable(token, now())


def test_a_pair_is_bound_like_its_token(ada: Caller) -> None:
    token = bound(ada, "10.1.0.0/16")
    headers = {"authorization": f"Bearer {token}"}
    asked = Client(REMOTE_ADDR="10.1.0.1").post("/api/v1/jwt", {}, content_type="application/json", headers=headers)
    given = asked.json()
    assert (status(given["access"], "10.1.0.1"), status(given["access"], "10.2.0.1")) == (200, 401)


def test_the_last_addresses_are_kept(ada: Caller) -> None:
    token = bound(ada)
    for last in range(1, 13):
        status(token, f"192.0.2.{last}")
    seen = ApiToken.objects.exclude(seen_from={}).get().seen_from
    assert "192.0.2.12" in seen
    assert len(seen) == services.ADDRESSES_KEPT


def test_the_same_address_is_written_down_once_a_minute(ada: Caller) -> None:
    row = ApiToken.objects.get()
    at = now()
    services.record_use(row, now=at, address="192.0.2.1")
    row.refresh_from_db()
    first = row.seen_from["192.0.2.1"]
    services.record_use(row, now=at + timedelta(seconds=30), address="192.0.2.1")
    row.refresh_from_db()
    assert (row.seen_from["192.0.2.1"], row.last_used_at) == (first, at)
    services.record_use(row, now=at + timedelta(seconds=90), address="192.0.2.1")
    row.refresh_from_db()
    assert row.seen_from["192.0.2.1"] != first


@pytest.mark.parametrize("text", ["10.1.0.0/33", "10.1.0.1/16", "x", "", "10.1.0.0/16 OR 1=1"])
def test_a_network_that_is_none_is_refused(ada: Caller, text: str) -> None:
    with pytest.raises(CommandError, match="network"):
        call_command("apitoken", "create", "--user", "ada", "--scope", "read", "--from", text)


def test_the_command_binds_and_lists(ada: Caller) -> None:
    out = io.StringIO()
    arguments = ("--from", "10.1.0.0/16", "--from", "192.0.2.7", "--json")
    call_command("apitoken", "create", "--user", "ada", "--scope", "read", *arguments, stdout=out)
    assert json.loads(out.getvalue())["networks"] == ["10.1.0.0/16", "192.0.2.7/32"]
