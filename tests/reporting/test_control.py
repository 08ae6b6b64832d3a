"""Orders by Telegram: from people it knows, within their rights, once, and after a yes where it matters."""

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection

from apps.access.models import User
from apps.journal.models import Event, Lease
from apps.reporting.control import binding, bots, speaking, updates
from apps.reporting.models import Chat, Confirmation, Update
from apps.trading.models import Exit, Restriction
from tests.factories import cross, drain, fresh, leg_of, make_account, make_instrument, make_user, now, opened, stop
from tests.reporting import botapi, providers
from tests.reporting.botapi import CHAT, BotApi
from tests.reporting.providers import Web
from tests.reporting.world import controlled
from workers.telegram import Poller

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("key_file")]


@pytest.fixture
def api(web: Web) -> Iterator[BotApi]:
    with botapi.serve(web) as made:
        yield made


@pytest.fixture
def channel(web: Web, person: User) -> int:
    return controlled(person, web.url).pk


@pytest.fixture
def poller(api: BotApi, channel: int) -> Iterator[Poller]:
    (bot,) = bots.listed()
    yield Poller(bot, wait=0, every=0.01)
    connection.close()


@pytest.fixture
def chat(channel: int, person: User) -> Chat:
    return Chat.objects.create(channel_id=channel, chat_id=CHAT, person=person, bound_at=now())


def trader(*permissions: str) -> User:
    user = make_user(f"trader{User.objects.count()}")
    for name in permissions:
        user.user_permissions.add(Permission.objects.get(codename=name.partition(".")[2]))
    return user


def ask(api: BotApi, poller: Poller, text: str, **more: object) -> str:
    """Write something and return what is answered."""
    before = len(api.said)
    api.write(text, **more)
    poller.step()
    assert len(api.said) == before + 1, api.texts
    return api.texts[-1]


def test_a_code_binds_the_chat_it_is_sent_from_once(api: BotApi, poller: Poller, channel: int, person: User) -> None:
    code = binding.make(channel, person.pk, now=now())
    assert "gives orders as boss" in ask(api, poller, f"/bind {code}")
    assert Chat.objects.get().chat_id == CHAT
    assert "wrong, was used" in ask(api, poller, f"/bind {code}", chat=CHAT + 1)
    assert Chat.objects.count() == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM reporting_update u WHERE u::text LIKE %s", [f"%{code}%"])
        assert cursor.fetchone()[0] == 0


def test_the_link_of_telegram_binds_as_well(api: BotApi, poller: Poller, channel: int, person: User) -> None:
    code = binding.make(channel, person.pk, now=now())
    assert "gives orders" in ask(api, poller, f"/start {code}")


def test_a_code_is_void_after_its_time(api: BotApi, poller: Poller, channel: int, person: User) -> None:
    code = binding.make(channel, person.pk, now=now() - timedelta(minutes=16))
    assert "too old" in ask(api, poller, f"/bind {code}")


def test_strangers_and_groups_are_not_answered(api: BotApi, poller: Poller, chat: Chat) -> None:
    api.write("/stop", chat=999)
    api.write("/stop", chat=CHAT, kind="group")
    api.press("stop", chat=998)
    poller.step()
    assert api.said == []
    assert not Restriction.objects.exists()
    assert not Update.objects.exists()


def test_trading_is_stopped_at_once_and_allowed_after_a_yes(api: BotApi, poller: Poller, chat: Chat) -> None:
    assert "halted: the whole site" in ask(api, poller, "/stop something smells")
    row = Restriction.objects.get()
    assert (row.state, row.reason, row.actor) == ("halted", "something smells", "boss (telegram)")
    assert "Really: start" in ask(api, poller, "/start")
    assert Restriction.objects.exists()
    api.press(api.button())
    poller.step()
    assert "Trading is active" in api.texts[-1]
    assert not Restriction.objects.exists()
    assert api.pressed
    assert Event.objects.filter(kind="chat.commanded").count() == 2


def test_a_yes_counts_once(api: BotApi, poller: Poller, chat: Chat) -> None:
    ask(api, poller, "/stop")
    ask(api, poller, "/start")
    data = api.button()
    for _ in range(3):
        api.press(data)
    poller.step()
    assert sum("Trading is active" in text for text in api.texts) == 1
    assert sum("Nothing waits" in text for text in api.texts) == 2


def test_a_yes_after_its_minute_does_nothing(api: BotApi, poller: Poller, chat: Chat) -> None:
    ask(api, poller, "/stop")
    ask(api, poller, "/start")
    Confirmation.objects.update(expires_at=now() - timedelta(seconds=1))
    api.press(api.button())
    poller.step()
    assert "minute is over" in api.texts[-1]
    assert Restriction.objects.exists()


def test_a_code_of_another_chat_or_a_wrong_one_does_nothing(
    api: BotApi, poller: Poller, chat: Chat, channel: int
) -> None:
    Chat.objects.create(channel_id=channel, chat_id=CHAT + 1, person=trader("trading.rearm"), bound_at=now())
    ask(api, poller, "/stop")
    code = ask(api, poller, "/start").split("/yes ")[1][:6]
    assert "Nothing waits" in ask(api, poller, f"/yes {code}", chat=CHAT + 1)
    assert "Nothing waits" in ask(api, poller, f"/yes {(int(code) + 1) % 10**6:06d}")
    assert Restriction.objects.exists()
    assert "active" in ask(api, poller, f"/yes {code}")


def test_a_right_that_was_taken_away_meanwhile_is_gone(api: BotApi, poller: Poller, channel: int) -> None:
    user = trader("trading.rearm", "trading.restrict")
    Chat.objects.create(channel_id=channel, chat_id=CHAT, person=user, bound_at=now())
    ask(api, poller, "/stop")
    ask(api, poller, "/start")
    user.user_permissions.clear()
    api.press(api.button())
    poller.step()
    assert "You may not use /start" in api.texts[-1]
    assert Restriction.objects.exists()


@pytest.mark.parametrize("line", ["/stop", "/reduce", "/start", "/close all", "/reload"])
def test_who_has_no_right_changes_nothing(api: BotApi, poller: Poller, channel: int, line: str) -> None:
    Chat.objects.create(channel_id=channel, chat_id=CHAT, person=trader(), bound_at=now())
    assert "You may not use" in ask(api, poller, line)
    assert not Confirmation.objects.exists()
    assert not Restriction.objects.exists()


def test_a_person_who_was_switched_off_is_not_obeyed(api: BotApi, poller: Poller, chat: Chat, person: User) -> None:
    User.objects.filter(pk=person.pk).update(is_active=False)
    assert "switched off" in ask(api, poller, "/stop")
    assert not Restriction.objects.exists()


def test_a_position_is_closed_after_a_yes_and_once(api: BotApi, poller: Poller, chat: Chat, person: User) -> None:
    position = opened(make_account(person), make_instrument(), stop("90"))
    assert f"#{position.pk} long 1 BTC-USD at 100" in ask(api, poller, "/positions")
    api.press(api.button())  # Close #1
    poller.step()
    assert f"Really: close {position.pk}?" in api.texts[-1]
    data = api.button()
    api.press(data)
    api.press(data)
    poller.step()
    drain()
    assert fresh(position).status == "closed"
    row = Exit.objects.get()
    assert (row.source, row.actor) == ("telegram", "boss (telegram)")


def test_all_positions_are_closed_and_only_ones_own(api: BotApi, poller: Poller, channel: int, person: User) -> None:
    user = trader("trading.change_position")
    Chat.objects.create(channel_id=channel, chat_id=CHAT, person=user, bound_at=now())
    instrument = make_instrument()
    mine, foreign = make_account(user), make_account(person, name="foreign")
    own = [opened(mine, instrument) for _ in range(3)]
    other = opened(foreign, instrument)
    assert str(other.pk) not in ask(api, poller, "/positions")
    ask(api, poller, f"/close {other.pk}")
    api.press(api.button())
    poller.step()
    assert "Name an open position of yours" in api.texts[-1]
    ask(api, poller, "/close all")
    api.press(api.button())
    poller.step()
    assert "3 positions are being closed" in api.texts[-1]
    assert sorted(Exit.objects.values_list("position_id", flat=True)) == [row.pk for row in own]


def test_an_order_that_arrives_late_is_not_obeyed(api: BotApi, poller: Poller, chat: Chat) -> None:
    assert "arrived late" in ask(api, poller, "/stop", at=time.time() - 3600)
    assert not Restriction.objects.exists()


def test_what_is_handed_out_again_is_not_done_again(api: BotApi, poller: Poller, chat: Chat) -> None:
    api.forgetful = True
    api.write("/stop")
    api.write("/status")
    for _ in range(5):
        poller.step()
    assert len(api.said) == 2
    assert Event.objects.filter(kind="trading.state_changed").count() == 1


def test_what_was_interrupted_is_told_and_not_done_again(api: BotApi, poller: Poller, chat: Chat) -> None:
    """A process that ended after it began: the next one says so."""
    api.write("/stop")
    (bot,) = bots.listed()
    assert poller._leads()
    updates.store(poller.bot, updates.fetch(poller.bot, wait=0), now=now())
    Update.objects.update(status="running")
    connection.close()
    second = Poller(bot, wait=0, every=0.01)
    for _ in range(100):
        second.step()
        if api.said:
            break
        time.sleep(0.02)
    assert "interrupted" in api.texts[0]
    second.step()
    assert len(api.said) == 1
    assert not Restriction.objects.exists()


def test_who_no_longer_leads_does_nothing(api: BotApi, poller: Poller, chat: Chat) -> None:
    assert poller._leads()
    found = [{"update_id": 5, "message": {"text": "/stop", "date": 1, "chat": {"id": CHAT, "type": "private"}}}]
    Lease.objects.update(epoch=99)
    with pytest.raises(updates.Fenced):
        updates.store(poller.bot, found, now=now())
    assert not Update.objects.exists()


def test_answers_wait_for_telegram_and_arrive_once(api: BotApi, poller: Poller, chat: Chat) -> None:
    api.write("/version")
    assert poller._leads()
    updates.store(poller.bot, updates.fetch(poller.bot, wait=0), now=now())
    api.fail = providers.status(502)
    for _ in range(3):
        assert poller.step() > 0
    assert Update.objects.get().answered_at is None
    api.fail = None
    poller.step()
    poller.step()
    assert len(api.said) == 1
    assert api.texts[0].startswith("Version ")


def test_every_command_answers_on_an_empty_site_and_a_used_one(
    api: BotApi, poller: Poller, chat: Chat, person: User
) -> None:
    account = make_account(person)
    for name in sorted(speaking.commands()):
        said = ask(api, poller, f"/{name}")
        assert said.strip()
        assert "not known" not in said
    Restriction.objects.all().delete()
    left, _held = (opened(account, make_instrument(symbol), stop("90")) for symbol in ("A-USD", "B-USD"))
    cross([leg_of(left, "stop_loss")], "89")
    told = {name: ask(api, poller, f"/{name}") for name in sorted(speaking.commands())}
    assert "-11.00" in told["profit"]
    assert "A-USD: -11.00" in told["performance"]
    assert "stop_loss" in told["trades"]
    assert "stop_loss done" in told["exits"]
    assert "999,989" in told["balance"]
    assert "B-USD" in told["positions"]
    assert "approved" in ask(api, poller, f"/why {left.pk}")
    for name in ("daily", "weekly", "monthly"):
        assert "-11.00 USD, 1 closed" in told[name]


NONSENSE = (
    "/",
    "",
    "///",
    "/nonsense",
    "/close -1",
    "/close " + "9" * 300,
    "/why \u0665",
    "/yes",
    "/yes .",
    "/daily x",
    "/stop account 99999999999999999999",
    "/stop strategy 77",
    "/trades 0",
    "\u202e/stop",
    "/exits 1e9",
    "/why 0",
    "/status@bot",
)


def test_nonsense_is_answered_and_harmless(api: BotApi, poller: Poller, chat: Chat) -> None:
    for text in NONSENSE:
        assert ask(api, poller, text), text
    assert not Restriction.objects.exists()


def test_broken_updates_are_skipped(poller: Poller, chat: Chat, api: BotApi) -> None:
    assert poller._leads()
    broken = [
        {"update_id": 1},
        {"update_id": 2, "message": None},
        {"update_id": 3, "message": {"chat": {"id": "x", "type": "private"}, "text": "/stop", "date": 1}},
        {"update_id": 4, "callback_query": {"id": 1, "data": "stop"}},
        {"update_id": "five", "message": {}},
        {"update_id": 6, "message": {"chat": {"id": CHAT, "type": "private"}, "text": "/stop", "date": 10**30}},
    ]
    updates.store(poller.bot, broken, now=now())
    assert not Update.objects.exists()
    assert updates.fetch(poller.bot, wait=0) == []
    assert api.polls[-1] == 7
