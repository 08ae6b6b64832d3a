"""From an event to a provider: each once, in order, whatever the provider does and whoever dies."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from apps.access.models import User
from apps.journal.models import Event
from apps.reporting.models import Attempt, Channel, Delivery
from apps.reporting.pace import Policy
from apps.reporting.services import resending, sending
from tests.reporting import providers
from tests.reporting.providers import Web
from tests.reporting.world import Clock, begin, route, say, statuses, telegram, webhook, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("key_file")]


@pytest.fixture
def hook(web: Web, person: User, clock: Clock) -> Channel:
    """A webhook that gets everything about feeds."""
    made = webhook(person, web.url)
    route(made, person, kinds="feed.*")
    begin(clock)
    return made


def ids(web: Web) -> list[str]:
    return [asked.json["id"] for asked in web.asked]


def test_every_event_arrives_once_and_in_order(web: Web, hook: Channel, clock: Clock) -> None:
    for number in range(20):
        say(instrument=f"I{number}", to="x")
    assert work(clock).sent == 20
    assert [asked.json["title"] for asked in web.asked] == [f"I{n} counts on another source" for n in range(20)]
    assert work(clock).tries == 0
    assert len(web.asked) == 20


def test_a_provider_down_for_an_hour_loses_and_doubles_nothing(web: Web, hook: Channel, clock: Clock) -> None:
    """Thirty events come while it answers 503; two hundred looks later it is back."""
    web.answer = lambda _: providers.status(503)
    for number in range(180):
        if number % 6 == 0:
            say(instrument=f"I{number}")
        work(clock)
        clock.move(seconds=20)
    tries_while_down = len(web.asked)
    taken: list[str] = []
    web.answer = lambda asked: (taken.append(asked.json["id"]), providers.ok())[1]
    for _ in range(10):
        clock.move(minutes=5)
        work(clock)
    assert statuses() == ["sent"] * 30
    assert len(taken) == len(set(taken)) == 30
    assert tries_while_down < 30  # one probe per wait, not one per message and look
    assert Channel.objects.get(pk=hook.pk).failures == 0


def test_a_provider_that_cannot_be_reached_loses_nothing(person: User, clock: Clock, loopback: None) -> None:
    port = providers.free_port()
    made = webhook(person, f"http://127.0.0.1:{port}")
    route(made, person)
    begin(clock)
    say()
    work(clock)
    assert statuses() == ["waiting"]
    attempt = Attempt.objects.get()
    assert attempt.outcome == "retry"  # nobody listened: it certainly did not arrive
    assert "No connection" in attempt.said


def test_a_lost_answer_is_counted_as_one_that_may_have_arrived(web: Web, hook: Channel, clock: Clock) -> None:
    web.answer = lambda _: None
    say()
    work(clock)
    row = Delivery.objects.get()
    assert (row.status, row.doubtful) == ("waiting", 1)
    web.answer = lambda _: providers.ok()
    clock.move(seconds=6)
    work(clock)
    row.refresh_from_db()
    assert (row.status, row.tries) == ("sent", 2)
    first, second = web.asked
    assert first.json["id"] == second.json["id"] == row.key  # whoever receives can tell
    assert [each.outcome for each in Attempt.objects.order_by("number")] == ["unclear", "sent"]


def test_the_wait_that_a_provider_asks_for_is_kept(web: Web, hook: Channel, clock: Clock) -> None:
    web.answer = lambda _: providers.status(429, Retry_After="90")
    say()
    say()
    work(clock)
    clock.move(seconds=89)
    work(clock)
    assert len(web.asked) == 1
    web.answer = lambda _: providers.ok()
    clock.move(seconds=2)
    work(clock)
    assert sorted(set(statuses())) == ["sent"]


def test_what_is_refused_for_good_is_given_up_at_once_and_said(web: Web, person: User, clock: Clock) -> None:
    """A bot that was blocked; another channel hears of it."""
    blocked = telegram(person, web.url)
    route(blocked, person, kinds="feed.*, delivery.*")
    with providers.web() as other:
        route(webhook(person, other.url, name="other"), person, kinds="delivery.failed")
        begin(clock)
        web.answer = lambda _: providers.status(403, {"ok": False, "description": "bot was blocked by the user"})
        say()
        work(clock)
        work(clock)
        assert Delivery.objects.get(channel=blocked).status == "dead"
        event = Event.objects.get(kind="delivery.failed")
        assert "blocked" in event.payload["error"]
        assert [asked.json["kind"] for asked in other.asked] == ["delivery.failed"]
    assert len(web.asked) == 1  # and it is not told by the channel that failed


def test_two_channels_that_both_fail_do_not_tell_each_other_for_ever(web: Web, person: User, clock: Clock) -> None:
    web.answer = lambda _: providers.status(404)
    for name in ("one", "two"):
        route(webhook(person, web.url, name=name), person)
    begin(clock)
    say()
    for _ in range(10):
        work(clock)
        clock.move(minutes=1)
    assert Event.objects.filter(kind="delivery.failed").count() == 2
    assert Delivery.objects.count() == 4
    assert set(statuses()) == {"dead"}


def test_after_enough_tries_it_is_given_up(web: Web, hook: Channel, clock: Clock) -> None:
    web.answer = lambda _: providers.status(500)
    say()
    policy = Policy(first=timedelta(seconds=1), longest=timedelta(seconds=2), tries=4)
    work_with = [sending.send_due]
    work(clock)
    for _ in range(8):
        clock.move(seconds=10)
        work_with[0](clock, seconds=1, policy=policy)
    row = Delivery.objects.get()
    assert (row.status, row.tries, row.doubtful) == ("dead", 4, 4)
    assert len(web.asked) == 4


def test_what_was_given_up_can_be_sent_again(web: Web, hook: Channel, person: User, clock: Clock) -> None:
    web.answer = lambda _: providers.status(410)
    say()
    work(clock)
    web.answer = lambda _: providers.ok()
    row = Delivery.objects.get()
    resending.resend(row.pk, now=clock(), actor="boss")
    work(clock)
    row.refresh_from_db()
    assert (row.status, row.claims) == ("sent", 2)
    assert Event.objects.filter(kind="delivery.resent", actor="boss").exists()


def test_a_worker_that_dies_after_the_claim_leaves_it_to_be_sent_and_counted(
    web: Web, hook: Channel, clock: Clock
) -> None:
    say()
    work(clock, seconds=0)
    dead = sending.claim(clock())
    assert dead is not None
    assert work(clock).tries == 0  # it may still be sending
    clock.move(minutes=4)
    work(clock)
    clock.move(minutes=1)
    work(clock)
    row = Delivery.objects.get()
    assert (row.status, row.doubtful) == ("sent", 1)
    assert len(web.asked) == 1


def test_a_worker_that_comes_back_late_does_not_undo_what_was_settled(web: Web, hook: Channel, clock: Clock) -> None:
    say()
    work(clock, seconds=0)
    late = sending.claim(clock())
    assert late is not None
    clock.move(minutes=4)
    work(clock)
    clock.move(minutes=1)
    work(clock)
    failed = sending._Try(outcome=sending.Outcome.PERMANENT)
    assert not sending.settle(late, failed, began=clock(), now=clock())
    assert statuses() == ["sent"]


def test_many_workers_send_each_message_once(web: Web, hook: Channel, person: User, clock: Clock) -> None:
    with providers.web() as second:
        route(webhook(person, second.url, name="second"), person, kinds="feed.*")
        for number in range(25):
            say(instrument=str(number))
        start = threading.Barrier(4)

        def one() -> None:
            try:
                start.wait()
                for _ in range(15):
                    work(clock)
            finally:
                connection.close()

        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(one) for _ in range(4)]:
                done.result()
        work(clock)
        for got in (web, second):
            assert ids(got) == sorted(set(ids(got)), key=lambda key: int(key.rpartition("-")[2]))
            assert len(got.asked) == 25


def test_a_channel_keeps_its_pace(web: Web, person: User, clock: Clock) -> None:
    route(webhook(person, web.url, per_minute=3), person, kinds="feed.*")
    begin(clock)
    for _ in range(7):
        say()
    work(clock)
    assert len(web.asked) == 3
    clock.move(seconds=30)
    work(clock)
    assert len(web.asked) == 3
    clock.move(seconds=31)
    work(clock)
    assert len(web.asked) == 6


def test_a_channel_that_is_off_lets_its_messages_wait(web: Web, hook: Channel, clock: Clock) -> None:
    Channel.objects.update(enabled=False)
    say()
    work(clock)
    assert statuses() == ["waiting"]
    Channel.objects.update(enabled=True)
    work(clock)
    assert statuses() == ["sent"]


def test_without_the_key_file_messages_wait(web: Web, hook: Channel, clock: Clock, key_file: Path) -> None:
    text = key_file.read_bytes()
    key_file.unlink()
    say()
    work(clock)
    assert statuses() == ["waiting"]
    key_file.write_bytes(text)
    key_file.chmod(0o600)
    clock.move(seconds=10)
    work(clock)
    assert statuses() == ["sent"]


def test_nothing_of_the_secrets_is_in_a_row(web: Web, person: User, clock: Clock) -> None:
    made = telegram(person, web.url)
    route(made, person, kinds="feed.*")
    begin(clock)
    token = web.url and "canary-token-of-the-bot"
    web.answer = lambda asked: providers.status(400, {"ok": False, "description": f"no: {asked.path}"})
    say()
    work(clock)
    for table in ("reporting_channel", "reporting_delivery", "reporting_attempt", "journal_event"):
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT string_agg(t::text, ' ') FROM {table} t")
            assert token not in (cursor.fetchone()[0] or ""), table
    assert Attempt.objects.get().said
