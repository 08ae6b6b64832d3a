"""One-time tickets: one socket each, for half a minute, with the rights of who asked."""

from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from threading import Barrier, Thread

import pytest
import redis
from django.conf import settings
from django.test import Client as Browser
from websockets.exceptions import ConnectionClosed

from apps.access import services as access
from apps.access.models import Scope
from apps.domain.errors import Unavailable
from apps.journal.services import record
from apps.web.gateway import tickets
from apps.web.gateway.grants import Paired, Session, Token
from tests.gateway.clients import client
from tests.gateway.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESS = "/api/v1/tickets"


def ticket_of(person: Person) -> str:
    answer = Browser().post(ADDRESS, HTTP_AUTHORIZATION=f"Bearer {person.token}")
    assert answer.status_code == 201, answer.content
    assert answer["Cache-Control"].startswith("max-age=0")
    assert answer.json()["seconds"] == 30
    return str(answer.json()["ticket"])


def test_a_ticket_opens_one_socket_with_the_rights_of_who_asked(site: int, ann: Person, bob: Person) -> None:
    ticket = ticket_of(ann)
    with client(site) as socket:
        socket.tell(type="auth", ticket=ticket)
        assert socket.until("welcome")["user"] == "ann"
        socket.subscribe("events")
        record("position.created", "position:1", account_id=bob.account_id, payload={})
        number = record("position.created", "position:2", account_id=ann.account_id, payload={})
        assert [message["event"] for message in socket.events()] == [number]
        with client(site) as again:
            again.tell(type="auth", ticket=ticket)
            assert again.close_code() == 4401


def test_of_many_who_show_one_ticket_one_gets_in(site: int, ann: Person) -> None:
    ticket, barrier, inside = ticket_of(ann), Barrier(8), []

    def show(socket: "object") -> None:
        barrier.wait()
        socket.tell(type="auth", ticket=ticket)
        with suppress(ConnectionClosed):
            inside.append(socket.next()["type"])

    with ExitStack() as stack:
        threads = [Thread(target=show, args=(stack.enter_context(client(site)),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert inside == ["welcome"]


def test_a_session_gets_tickets_too_and_signing_out_ends_the_socket(site: int, ann: Person) -> None:
    browser = Browser()
    browser.force_login(ann.user)
    ticket = browser.post(ADDRESS).json()["ticket"]
    with client(site, origin=f"http://127.0.0.1:{site}") as socket:
        socket.tell(type="auth", ticket=ticket)
        assert socket.until("welcome")["user"] == "ann"
        browser.logout()
        assert socket.close_code() == 4401


def test_a_revoked_token_makes_its_tickets_worthless_and_ends_their_sockets(site: int, ann: Person) -> None:
    first, second = ticket_of(ann), ticket_of(ann)
    with client(site) as socket, client(site) as late:
        socket.tell(type="auth", ticket=first)
        socket.until("welcome")
        access.revoke_tokens(ann.token, now=datetime.now(UTC))
        late.tell(type="auth", ticket=second)
        assert late.close_code() == 4401
        assert socket.close_code() == 4401


def test_a_pair_of_signed_tokens_opens_a_socket_and_asks_for_tickets(site: int, ann: Person) -> None:
    now = datetime.now(UTC)
    pair = pytest.importorskip("apps.access.pairs").open_pair(
        user=ann.user, token=None, scope=Scope.READ, address="127.0.0.1", now=now
    )
    with client(site, token=pair.access) as socket, client(site, token=pair.access[:-3] + "AAA") as forged:
        assert socket.next()["user"] == "ann"
        assert forged.close_code() == 4401
    answer = Browser().post(ADDRESS, HTTP_AUTHORIZATION=f"Bearer {pair.access}")
    with client(site) as socket:
        socket.tell(type="auth", ticket=answer.json()["ticket"])
        assert socket.until("welcome")["user"] == "ann"


def test_nobody_gets_a_ticket_without_signing_in_or_in_the_address(site: int, ann: Person) -> None:
    assert Browser().post(ADDRESS).status_code == 401
    with client(site, path=f"/ws/v1?ticket={ticket_of(ann)}") as socket:
        socket.tell(type="ping")
        assert socket.close_code() == 4401


@pytest.mark.parametrize("text", ["", "tt_", "tt_" + "x" * 43, "x" * 46, "tt_" + "é" * 43])
def test_what_is_no_ticket_opens_nothing(text: str) -> None:
    assert tickets.take(text, None) is None


def test_a_ticket_ends_after_its_time_and_is_nowhere_in_the_clear(redis_url: str) -> None:
    credentials = [Token("d" * 64, "10.0.0.1"), Paired(7, "10.0.0.1"), Session("s" * 32)]
    with redis.Redis.from_url(redis_url) as link:
        given = [tickets.give(one) for one in credentials]
        names = list(link.scan_iter("tradingsite:ticket:*"))
        stored = b"".join([*names, *(link.get(name) for name in names)])
        assert all(0 < link.pttl(name) <= 30_000 for name in names)
        assert [tickets.take(one, "10.0.0.1") for one in given] == credentials
        assert [tickets.take(one, "10.0.0.1") for one in given] == [None] * 3
        late = tickets.give(credentials[0])
        for name in link.scan_iter("tradingsite:ticket:*"):
            link.pexpire(name, 0)
        assert tickets.take(late, None) is None
    for secret in (*given, "d" * 64, "s" * 32):
        assert secret.encode() not in stored


def test_without_redis_who_asks_is_told_and_nobody_is_let_in(ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")
    answer = Browser().post(ADDRESS, HTTP_AUTHORIZATION=f"Bearer {ann.token}")
    assert answer.status_code == 503
    assert "Redis" in answer.json()["detail"]
    with pytest.raises(Unavailable):
        tickets.take("tt_" + "x" * 43, None)
