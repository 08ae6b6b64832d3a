"""Which events lead to which deliveries: kinds, loudness, rights, words, repeats, quiet hours, digests."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta

import pytest
from django.db import connection, transaction

from apps.access.models import User
from apps.journal.models import Event
from apps.reporting.models import Channel, Delivery, Habit, Place, Wording
from apps.reporting.services import dispatching, following
from tests.factories import make_account, make_user
from tests.reporting.providers import Web
from tests.reporting.world import Clock, begin, route, say, statuses, webhook, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("key_file")]


@pytest.fixture
def hook(web: Web, person: User, clock: Clock) -> Channel:
    made = webhook(person, web.url)
    begin(clock)
    return made


def settle(clock: Clock) -> None:
    """Follow until no number is missing: those that earlier tests used are waited for, and forgotten."""
    say("calendar.refreshed")
    dispatching.dispatch(clock())
    clock.move(seconds=61)
    dispatching.dispatch(clock())


def titles() -> list[str]:
    return [row.kind for row in Delivery.objects.order_by("id")]


def test_what_happened_before_following_began_is_not_told(web: Web, person: User, clock: Clock) -> None:
    made = webhook(person, web.url)
    route(made, person)
    say()
    begin(clock)
    work(clock)
    assert Delivery.objects.count() == 0
    say()
    work(clock)
    assert Delivery.objects.count() == 1


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ("*", 3),
        ("feed.*", 1),
        ("exit.failed", 1),
        ("feed.*, exit.*", 2),
        ("*.failed", 2),
        ("position.*", 0),
        ("exit.fail", 0),
    ],
)
def test_patterns_choose_kinds(hook: Channel, person: User, clock: Clock, kinds: str, expected: int) -> None:
    route(hook, person, kinds=kinds)
    for kind in ("feed.switched", "exit.failed", "strategy.failed"):
        say(kind)
    dispatching.dispatch(clock())
    assert Delivery.objects.count() == expected


def test_a_route_asks_for_a_loudness(hook: Channel, person: User, clock: Clock) -> None:
    route(hook, person, severity="critical", kinds="exit.*")
    say("exit.claimed")
    say("exit.failed")
    dispatching.dispatch(clock())
    assert titles() == ["exit.failed"]


def test_a_person_hears_of_their_own_accounts_only(hook: Channel, person: User, clock: Clock) -> None:
    user = make_user("ann")
    mine, foreign = make_account(user), make_account(person, name="foreign")
    begun = following.begin(clock()) or Delivery.objects.count()
    dispatching.dispatch(clock())
    route(hook, user)
    route(hook, person, account_id=foreign.pk)
    say("exit.failed", account=mine.pk)
    say("exit.failed", account=foreign.pk)
    say("exit.failed")
    dispatching.dispatch(clock())
    told = {(row.route.person.username, row.account_id) for row in Delivery.objects.select_related("route__person")}
    assert told == {("ann", mine.pk), ("boss", foreign.pk)}
    assert begun == 0
    User.objects.filter(pk=user.pk).update(is_active=False)
    say("exit.failed", account=mine.pk)
    dispatching.dispatch(clock())
    assert Delivery.objects.filter(route__person=user).count() == 1


def test_an_event_is_delivered_once_per_route_whoever_looks(hook: Channel, person: User, clock: Clock) -> None:
    route(hook, person, kinds="feed.*")
    route(hook, person, kinds="*")
    for _ in range(30):
        say()
    start = threading.Barrier(4)

    def one() -> None:
        try:
            start.wait()
            for _ in range(10):
                dispatching.dispatch(clock(), limit=7)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(one) for _ in range(4)]:
            done.result()
    dispatching.dispatch(clock())
    assert Delivery.objects.filter(kind="feed.switched").count() == 60


def test_taking_an_event_again_tells_nothing_twice(hook: Channel, person: User, clock: Clock) -> None:
    route(hook, person, kinds="feed.*")
    say()
    dispatching.dispatch(clock())
    Place.objects.update(head=0)
    dispatching.dispatch(clock())
    assert Delivery.objects.count() == 1


def test_an_event_that_becomes_visible_late_is_told(hook: Channel, person: User, clock: Clock) -> None:
    """Its number is lower than one that was told: another transaction was faster."""
    settle(clock)
    route(hook, person, kinds="feed.*")
    written, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        try:
            with transaction.atomic():
                say(instrument="slow")
                written.set()
                assert go_on.wait(20)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(slow)
        assert written.wait(20)
        say(instrument="fast")
        dispatching.dispatch(clock())
        assert Delivery.objects.count() == 1
        go_on.set()
        running.result()
    clock.move(seconds=30)
    dispatching.dispatch(clock())
    assert [row.title.split()[0] for row in Delivery.objects.order_by("id")] == ["fast", "slow"]
    assert Place.objects.get().missing == {}


def test_a_number_that_never_comes_is_forgotten(hook: Channel, person: User, clock: Clock) -> None:
    settle(clock)
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('journal_event', 'id'))")
    say()
    dispatching.dispatch(clock())
    assert len(Place.objects.get().missing) == 1
    clock.move(seconds=61)
    dispatching.dispatch(clock())
    assert Place.objects.get().missing == {}


def test_own_words_replace_the_built_in_ones(hook: Channel, person: User, clock: Clock) -> None:
    route(hook, person, kinds="feed.*", severity="critical")
    Wording.objects.create(kind="feed.switched", title="{{ instrument }}!", body="{{ to }}", severity="critical")
    say(instrument="BTC-USD", to="kraken")
    dispatching.dispatch(clock())
    row = Delivery.objects.get()
    assert (row.title, row.body, row.severity) == ("BTC-USD!", "kraken", "critical")


def test_words_that_cannot_be_used_give_way(hook: Channel, person: User, clock: Clock) -> None:
    route(hook, person, kinds="feed.*")
    Wording.objects.create(kind="feed.switched", title="{{ x.__class__ }}")
    say(instrument="BTC-USD")
    dispatching.dispatch(clock())
    assert Delivery.objects.get().title == "BTC-USD counts on another source"


def test_the_same_is_not_repeated_for_a_while_and_counted(hook: Channel, person: User, clock: Clock, web: Web) -> None:
    route(hook, person, kinds="feed.*", repeat_seconds=600)
    for _ in range(3):
        say(subject="instrument:1")
    say(subject="instrument:2")
    dispatching.dispatch(clock())
    say(subject="instrument:1")
    dispatching.dispatch(clock())
    assert statuses() == ["waiting", "repeated", "repeated", "waiting", "repeated"]
    assert Delivery.objects.order_by("id")[0].repeats == 3
    work(clock)
    assert "3 more times" in web.asked[0].json["body"]
    Delivery.objects.update(happened_at=datetime.now(UTC) - timedelta(seconds=601))
    say(subject="instrument:1")
    dispatching.dispatch(clock())
    assert Delivery.objects.order_by("-id")[0].status == "waiting"


def quiet(person: User) -> None:
    Habit.objects.create(
        person=person, time_zone="Europe/Berlin", quiet_from=time(22), quiet_until=time(7), digest_at=time(8)
    )


def test_quiet_hours_hold_all_but_the_loudest_and_release_one_message(
    hook: Channel, person: User, clock: Clock, web: Web
) -> None:
    quiet(person)
    route(hook, person, kinds="feed.*, exit.failed")
    clock.at = datetime(2026, 11, 21, 23, tzinfo=UTC)  # midnight in Berlin
    for number in range(4):
        say(instrument=f"I{number}")
    say("exit.failed", subject="position:3", position=3, why="no price")
    work(clock)
    assert [asked.json["kind"] for asked in web.asked] == ["exit.failed"]
    clock.at = datetime(2026, 11, 22, 6, 0, 1, tzinfo=UTC)
    work(clock)
    assert [asked.json["kind"] for asked in web.asked] == ["exit.failed", "digest"]
    assert all(f"I{number} counts" in web.asked[1].json["body"] for number in range(4))
    assert sorted(statuses()) == ["merged"] * 4 + ["sent"] * 2
    work(clock)
    assert len(web.asked) == 2


def test_one_that_was_held_is_sent_as_it_is(hook: Channel, person: User, clock: Clock, web: Web) -> None:
    quiet(person)
    route(hook, person, kinds="feed.*")
    clock.at = datetime(2026, 11, 21, 23, tzinfo=UTC)
    say()
    work(clock)
    clock.move(hours=8)
    work(clock)
    assert [asked.json["kind"] for asked in web.asked] == ["feed.switched"]


def test_a_digest_comes_once_a_day_and_fits(hook: Channel, person: User, clock: Clock, web: Web) -> None:
    quiet(person)
    route(hook, person, kinds="feed.*", digest=True)
    clock.at = datetime(2026, 11, 21, 12, tzinfo=UTC)
    for number in range(120):
        say(instrument=f"I{number}")
    work(clock)
    assert web.asked == []
    clock.at = datetime(2026, 11, 22, 7, 0, 1, tzinfo=UTC)
    work(clock)
    bodies = "\n".join(asked.json["body"] for asked in web.asked)
    assert all(f" I{number} counts" in bodies for number in range(120))
    assert 1 < len(web.asked) < 6
    assert all(len(asked.json["body"]) <= 3500 for asked in web.asked)


def test_two_who_release_at_once_make_one_message(hook: Channel, person: User, clock: Clock, web: Web) -> None:
    quiet(person)
    route(hook, person, kinds="feed.*", digest=True)
    for _ in range(10):
        say()
    dispatching.dispatch(clock())
    clock.move(days=2)
    start = threading.Barrier(3)

    def one() -> None:
        try:
            start.wait()
            work(clock)
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(one) for _ in range(3)]:
            done.result()
    work(clock)
    assert [asked.json["kind"] for asked in web.asked] == ["digest"]


def test_an_event_of_a_trade_that_was_rolled_back_is_not_told(hook: Channel, person: User, clock: Clock) -> None:
    route(hook, person, kinds="feed.*")
    with transaction.atomic():
        say()
        transaction.set_rollback(True)
    dispatching.dispatch(clock())
    assert Delivery.objects.count() == 0
    assert not Event.objects.filter(kind="feed.switched").exists()
