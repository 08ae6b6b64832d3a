"""One contract for all channels: what arrives, what is tried again, what is given up, and that no secret is told."""

import hmac
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.reporting.channels import CHANNELS, base
from apps.reporting.channels import web as web_module
from apps.reporting.channels.base import Message, Undeliverable
from tests.reporting import providers
from tests.reporting.providers import Post, Web
from tests.reporting.world import SECRET, TOKEN

MESSAGE = Message(
    key="delivery-7",
    kind="exit.failed",
    severity="critical",
    subject="position:3",
    account_id=1,
    at=datetime(2026, 11, 21, 12, tzinfo=UTC),
    title="An exit of #3 FAILED <b>&",
    body="Look at once.\n@everyone",
)
PATHS = {"webhook": "/in", "slack": "/services/T/B/x", "discord": "/api/webhooks/1/canary-hook", "telegram": ""}
HTTP = sorted(PATHS)


def given(name: str, server: Web | Post) -> dict[str, str]:
    """Return what a channel has to be told to reach a server on loopback."""
    if name == "email":
        port = {"host": "127.0.0.1", "port": str(server.port), "security": "none"}
        return {**port, "sender": "site@example.org", "recipient": "me@example.org"}
    url = f"http://127.0.0.1:{server.port}{PATHS.get(name, '')}"
    if name == "telegram":
        return {"token": TOKEN, "chat": "77", "address": url}
    return {"url": url, "secret": SECRET}


def made(name: str, server: Web | Post) -> base.Channel:
    plugin = CHANNELS.get(name)
    told = given(name, server)
    assert base.wrong(plugin, told) == []
    return plugin(told)


def taken(name: str) -> providers.Reply:
    """Return what each provider says when it takes a message."""
    return providers.ok({"ok": True, "result": {"message_id": 5}, "id": "5"})


def test_every_channel_is_covered_here() -> None:
    assert CHANNELS.broken == {}
    assert {*HTTP, "email", "apprise"} == set(CHANNELS.names())


@pytest.mark.parametrize("name", CHANNELS.names())
def test_every_channel_declares_itself(name: str) -> None:
    plugin = CHANNELS.get(name)
    assert all(each.help.endswith((".", "/...", "path")) for each in plugin.settings)
    assert {problem.field for problem in base.wrong(plugin, {})} == {
        each.name for each in plugin.settings if each.required and not each.default
    }


@pytest.mark.parametrize("name", HTTP)
def test_the_message_arrives_in_plain_words(name: str, web: Web) -> None:
    web.answer = lambda _: taken(name)
    made(name, web).send(MESSAGE)
    (asked,) = web.asked
    text = asked.body.decode()
    assert "Look at once" in text
    assert asked.headers["host"] == f"127.0.0.1:{web.port}"


@pytest.mark.parametrize("name", HTTP)
@pytest.mark.parametrize(
    ("reply", "permanent", "wait"),
    [
        (providers.status(500), False, None),
        (providers.status(503, Retry_After="7"), False, 7),
        (providers.status(400, {"description": "bad"}), True, None),
        (providers.status(401), True, None),
        (providers.status(403), True, None),
        (providers.status(404), True, None),
        (providers.status(302, Location="http://127.0.0.1:1/"), True, None),
        (None, False, None),
    ],
    ids=["500", "503", "400", "401", "403", "404", "redirect", "lost"],
)
def test_what_is_tried_again_and_what_is_not(
    name: str, reply: providers.Reply | None, permanent: bool, wait: int | None, web: Web
) -> None:
    web.answer = lambda _: reply
    with pytest.raises(Undeliverable) as failed:
        made(name, web).send(MESSAGE)
    assert failed.value.permanent is permanent
    assert failed.value.unclear is (reply is None or reply[0] == 500 or (name == "telegram" and reply[0] >= 500))
    if wait and name != "telegram":
        assert failed.value.retry_after == timedelta(seconds=wait)
    assert len(web.asked) == 1  # no redirect is followed, nothing is tried by itself
    assert "canary" not in str(failed.value)


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("telegram", providers.status(429, {"ok": False, "parameters": {"retry_after": 31}})),
        ("discord", providers.status(429, {"retry_after": 31.0}, Retry_After="99")),
        ("slack", providers.status(429, Retry_After="31")),
        ("webhook", providers.status(429, Retry_After="31")),
    ],
)
def test_a_provider_may_ask_to_be_left_alone(name: str, reply: providers.Reply, web: Web) -> None:
    web.answer = lambda _: reply
    with pytest.raises(Undeliverable) as failed:
        made(name, web).send(MESSAGE)
    assert failed.value.retry_after == timedelta(seconds=31)
    assert not failed.value.permanent


@pytest.mark.parametrize("name", [*HTTP, "email"])
def test_nobody_listening_is_certainly_not_delivered(name: str, loopback: None) -> None:
    nobody = Web(port=providers.free_port())
    with pytest.raises(Undeliverable) as failed:
        made(name, nobody).send(MESSAGE)
    assert (failed.value.permanent, failed.value.unclear) == (False, False)


@pytest.mark.parametrize("name", [*HTTP, "email"])
def test_without_leave_nothing_is_sent_to_this_machine(name: str, web: Web, post: Post, settings: Any) -> None:
    server = post if name == "email" else web
    channel = made(name, server)
    settings.NOTIFY_ALLOWED_NETWORKS = []
    with pytest.raises(Undeliverable) as failed:
        channel.send(MESSAGE)
    assert failed.value.permanent
    assert "NOTIFY_ALLOWED_NETWORKS" in str(failed.value)
    assert (web.connections, post.mails) == (0, [])


def test_the_webhook_is_signed_and_stamped(web: Web) -> None:
    made("webhook", web).send(MESSAGE)
    (asked,) = web.asked
    stamp, _, signature = asked.headers["x-signature"].removeprefix("t=").partition(",v1=")
    assert abs(time.time() - int(stamp)) < 10
    expected = hmac.new(SECRET.encode(), f"{stamp}.".encode() + asked.body, "sha256").hexdigest()
    assert hmac.compare_digest(signature, expected)
    assert asked.headers["x-delivery"] == asked.json["id"] == "delivery-7"


def test_slack_and_discord_cannot_be_made_to_mention_anybody(web: Web) -> None:
    web.answer = lambda _: taken("discord")
    made("slack", web).send(MESSAGE)
    assert "&lt;b&gt;&amp;" in web.asked[0].json["text"]
    assert made("discord", web).send(MESSAGE) == "5"
    assert web.asked[1].json["allowed_mentions"] == {"parse": []}


def test_what_is_too_long_is_cut(web: Web) -> None:
    web.answer = lambda _: taken("telegram")
    long = replace(MESSAGE, body="x" * 9000)
    made("telegram", web).send(long)
    made("discord", web).send(long)
    assert len(web.asked[0].json["text"]) == 4096
    assert len(web.asked[1].json["content"]) == 2000


def test_an_answer_that_drips_is_cut(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    web.answer = lambda _: (200, {}, b"x" * 10**6)
    answer = web_module.exchange(f"{web.url}/in", b"{}")
    assert len(answer.body) <= web_module.MOST


# --- mail -----------------------------------------------------------------------------------------------------------
def test_a_mail_arrives_with_a_name_that_stays_the_same(post: Post) -> None:
    channel = made("email", post)
    assert channel.send(MESSAGE) == channel.send(MESSAGE) == "<delivery-7@example.org>"
    first = post.mails[0]
    assert "Subject: [critical] An exit of #3 FAILED <b>&" in first
    assert "Message-ID: <delivery-7@example.org>" in first
    assert "Auto-Submitted: auto-generated" in first


@pytest.mark.parametrize(
    ("step", "code", "permanent"),
    [
        ("rcpt", "550 no such mailbox", True),
        ("rcpt", "450 busy", False),
        ("mail", "451 later", False),
        ("mail", "553 not you", True),
        ("end", "554 spam", True),
        ("end", "452 full", False),
    ],
)
def test_the_code_of_the_mail_server_decides(post: Post, step: str, code: str, permanent: bool) -> None:
    post.codes[step] = code
    with pytest.raises(Undeliverable) as failed:
        made("email", post).send(MESSAGE)
    assert (failed.value.permanent, failed.value.unclear) == (permanent, False)


def test_a_mail_whose_receipt_was_lost_may_have_arrived(post: Post) -> None:
    post.drop_after_data = True
    with pytest.raises(Undeliverable) as failed:
        made("email", post).send(MESSAGE)
    assert failed.value.unclear


def test_a_title_cannot_add_headers(post: Post) -> None:
    made("email", post).send(replace(MESSAGE, title="Hello\r\nBcc: thief@example.org"))
    assert "\nBcc:" not in post.mails[0]


# --- apprise --------------------------------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # a plug-in of the library imports it
def test_apprise_delivers_to_the_service_it_was_told(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's own address of the service is pointed to loopback: it has no other way to be tried."""
    from apprise.plugins.pushover import NotifyPushover

    monkeypatch.setattr(NotifyPushover, "notify_url", f"{web.url}/1/messages.json")
    monkeypatch.setattr(NotifyPushover, "request_rate_per_sec", 0)
    plugin = CHANNELS.get("apprise")
    told = {"url": f"pover://{'u' * 30}@{'t' * 30}"}
    assert base.wrong(plugin, told) == []
    plugin(told).send(MESSAGE)
    assert b"Look+at+once" in web.asked[0].body
    web.answer = lambda _: providers.status(500)
    with pytest.raises(Undeliverable) as failed:
        plugin(told).send(MESSAGE)
    assert not failed.value.permanent


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # a plug-in of the library imports it
@pytest.mark.parametrize(
    "url",
    [
        "json://127.0.0.1/x",
        "xml://10.0.0.1",
        "form://169.254.169.254/latest",
        "file:///etc/passwd",
        "syslog://",
        "dbus://",
        "macosx://",
        "gotify://localhost/token",
        "ntfy://localhost/topic",
        "ntfys://10.0.0.1/topic",
        "mailto://user:pass@localhost",
        "pover://u@t?verify=no",
        "pover://" + "u" * 30 + "@" + "t" * 30 + "?attach=/etc/passwd",
        "python://script.py",
        "POVER2://x",
        "//x",
        "",
    ],
)
def test_apprise_is_let_through_to_well_known_services_only(url: str) -> None:
    assert base.wrong(CHANNELS.get("apprise"), {"url": url})
