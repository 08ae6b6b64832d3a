"""Who may open a socket, and that each sees only what is theirs, for as long as it is theirs."""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client as Browser
from websockets.exceptions import InvalidStatus

from apps.access import services as access
from apps.access.models import ApiToken, Scope
from apps.journal.services import record
from apps.trading.services import accounts
from apps.web.gateway.origin import Origin, judge
from tests.gateway.clients import client
from tests.gateway.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)
HOSTS, TRUSTED = ["desk.example", "127.0.0.1", "[::1]"], ["https://partner.example"]
ORIGINS = {
    "no Origin": (None, "desk.example", Origin.HOST),
    "own page": ("https://desk.example", "desk.example", Origin.OWN),
    "own page with its port": ("http://127.0.0.1:8000", "127.0.0.1:8000", Origin.OWN),
    "own page over IPv6": ("http://[::1]:8000", "[::1]:8000", Origin.OWN),
    "the default port spelled out": ("http://desk.example:80", "desk.example", Origin.OWN),
    "capitals": ("https://DESK.example", "desk.example", Origin.OWN),
    "another port of the host": ("http://127.0.0.1:3000", "127.0.0.1:8000", Origin.HOST),
    "trusted by name": ("https://partner.example", "desk.example", Origin.OWN),
    "trusted name, other scheme": ("http://partner.example", "desk.example", Origin.FOREIGN),
    "foreign": ("https://evil.example", "desk.example", Origin.FOREIGN),
    "a sandboxed page": ("null", "desk.example", Origin.FOREIGN),
    "empty": ("", "desk.example", Origin.FOREIGN),
    "a suffix of an allowed host": ("https://xdesk.example", "desk.example", Origin.FOREIGN),
    "our name in front": ("https://desk.example.evil.example", "desk.example", Origin.FOREIGN),
    "our name as a user": ("https://desk.example@evil.example", "desk.example", Origin.FOREIGN),
    "a name rebound to our address": ("http://evil.example", "evil.example", Origin.FOREIGN),
    "a broken address": ("http://[::1", "desk.example", Origin.FOREIGN),
    "a file": ("file://desk.example", "desk.example", Origin.FOREIGN),
}


@pytest.mark.parametrize(("header", "host", "verdict"), ORIGINS.values(), ids=ORIGINS)
def test_an_origin_is_judged(header: str | None, host: str, verdict: Origin) -> None:
    assert judge(header, host, HOSTS, TRUSTED) is verdict


def signed_in(person: Person) -> tuple[Browser, dict[str, str]]:
    browser = Browser()
    browser.force_login(person.user)
    return browser, {"Cookie": f"sessionid={browser.cookies['sessionid'].value}"}


def test_a_page_of_another_site_is_refused_in_the_handshake(site: int, ann: Person) -> None:
    for options in ({"token": ann.token}, {"headers": signed_in(ann)[1]}):
        with (
            pytest.raises(InvalidStatus) as refused,
            client(site, origin="https://evil.example", **options),
        ):
            pass
        assert refused.value.response.status_code == 403


def test_an_address_without_a_socket_is_refused(site: int, ann: Person) -> None:
    with pytest.raises(InvalidStatus), client(site, token=ann.token, path="/ws/v2"):
        pass


def test_a_page_of_this_site_needs_only_its_session(site: int, ann: Person) -> None:
    with client(site, origin=f"http://127.0.0.1:{site}", headers=signed_in(ann)[1]) as socket:
        assert socket.next()["user"] == "ann"


def test_a_session_without_a_page_of_this_site_does_not_count(site: int, ann: Person) -> None:
    with client(site, origin="http://127.0.0.1:1", headers=signed_in(ann)[1]) as socket:
        socket.tell(type="subscribe", channels=["positions"])
        assert socket.close_code() == 4401


def test_the_first_message_may_bring_the_token(site: int, ann: Person) -> None:
    with client(site) as socket:
        socket.tell(type="auth", token=ann.token)
        assert socket.next()["type"] == "welcome"


def test_silence_is_ended_after_five_seconds(site: int, ann: Person) -> None:
    begun = time.monotonic()
    with client(site) as socket:
        assert socket.close_code() == 4401
    assert 4 < time.monotonic() - begun < 8


@pytest.mark.parametrize("first", ['{"type": "ping"}', "{", '{"type": "auth"}', '{"type": "auth", "token": "ts_00"}'])
def test_anything_else_first_ends_the_socket(site: int, ann: Person, first: str) -> None:
    with client(site) as socket:
        socket.raw.send(first)
        assert socket.close_code() == 4401


@pytest.mark.parametrize("spoiled", ["wrong", "revoked", "expired", "in the address"])
def test_a_token_that_does_not_count_opens_nothing(site: int, ann: Person, spoiled: str) -> None:
    now = datetime.now(UTC)
    if spoiled == "revoked":
        access.revoke_tokens(ann.token, now=now)
    if spoiled == "expired":
        ApiToken.objects.update(expires_at=now - timedelta(seconds=1))
    if spoiled == "in the address":
        with client(site, path=f"/ws/v1?token={ann.token}") as socket:
            socket.tell(type="ping")
            assert socket.close_code() == 4401
        return
    with client(site, token="ts_1234" if spoiled == "wrong" else ann.token) as socket:
        assert socket.close_code() == 4401


def test_a_user_never_sees_another_users_events_live_or_replayed(
    site: int, ann: Person, bob: Person, root: Person
) -> None:
    first = record("site.begun", "site:1", payload={})
    choose = random.Random(5)
    owners = {ann.account_id: "ann", bob.account_id: "bob", None: ""}
    expected: dict[str, list[int]] = {"ann": [], "bob": [], "root": []}
    with (
        client(site, token=ann.token) as hers,
        client(site, token=bob.token) as his,
        client(site, token=root.token) as theirs,
    ):
        sockets = {"ann": hers, "bob": his, "root": theirs}
        for socket in sockets.values():
            socket.subscribe("events", "positions", "exits", "system")
        for _ in range(1000):
            account = choose.choice(list(owners))
            kind = choose.choice(["position.created", "position.closed", "exit.failed", "account.opened", "feed.down"])
            number = record(kind, "x:1", account_id=account, payload={})
            expected["root"].append(number)
            if account is not None:
                expected[owners[account]].append(number)
        for name, socket in sockets.items():
            assert [message["event"] for message in socket.events()] == expected[name], name
    for name, person in (("ann", ann), ("bob", bob)):
        with client(site, token=person.token) as socket:
            socket.subscribe("events", since=first)
            assert [message["event"] for message in socket.events()] == expected[name], name


def test_an_account_opened_a_moment_ago_is_seen_from_its_first_event(site: int, ann: Person) -> None:
    with client(site, token=ann.token) as socket:
        socket.subscribe("events")
        now = datetime.now(UTC)
        for name in ("second", "third"):
            accounts.open_account(owner_id=ann.user.pk, name=name, deposit=Decimal(5), now=now)
        kinds = [message["type"] for message in socket.events()]
    assert kinds == ["account.opened", "account.deposited"] * 2


def _revoke(person: Person, browser: Browser) -> None:
    access.revoke_tokens(person.token, now=datetime.now(UTC))


def _expire(person: Person, browser: Browser) -> None:
    ApiToken.objects.filter(user=person.user).update(expires_at=datetime.now(UTC) + timedelta(seconds=1))


def _switch_off(person: Person, browser: Browser) -> None:
    type(person.user).objects.filter(pk=person.user.pk).update(is_active=False)


def _log_out(person: Person, browser: Browser) -> None:
    browser.logout()


def _change_password(person: Person, browser: Browser) -> None:
    person.user.set_password("another-4-the-test")
    person.user.save()


@pytest.mark.parametrize(
    ("end", "by_session"),
    [
        (_revoke, False),
        (_expire, False),
        (_switch_off, False),
        (_switch_off, True),
        (_log_out, True),
        (_change_password, True),
    ],
)
def test_a_socket_ends_within_five_seconds_of_its_right(
    site: int, ann: Person, bob: Person, end: Callable[[Person, Browser], None], by_session: bool
) -> None:
    browser, cookie = signed_in(ann)
    options = {"origin": f"http://127.0.0.1:{site}", "headers": cookie} if by_session else {"token": ann.token}
    with client(site, **options) as socket, client(site, token=bob.token) as other:
        socket.next()
        other.next()
        end(ann, browser)
        begun = time.monotonic()
        assert socket.close_code(8) == 4401
        assert time.monotonic() - begun < 5
        other.tell(type="ping")
        assert other.next()["type"] == "pong"


def test_the_token_is_noted_as_used(site: int, ann: Person) -> None:
    with client(site, token=ann.token) as socket:
        socket.next()
    assert ApiToken.objects.get(user=ann.user, scope=Scope.READ).last_used_at is not None
