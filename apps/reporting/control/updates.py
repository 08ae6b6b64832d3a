"""What was sent to a bot: stored before anything is done about it, executed at most once, answered until it arrives.

The offset moves in the transaction that stores, so nothing is asked for twice or lost; what was being executed when a
process ended is not executed again, and the person is told so. Every step holds the lease of whoever polls.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from apps.journal import leases
from apps.reporting import locks
from apps.reporting.channels import botapi
from apps.reporting.channels.base import Undeliverable
from apps.reporting.control import binding, speaking
from apps.reporting.control.contract import Answer
from apps.reporting.models import Chat, Poll, Update, UpdateStatus

log = logging.getLogger(__name__)

ANSWERED_WITHIN: Final = timedelta(minutes=10)  # an answer that cannot be handed over is dropped then
_LONGEST: Final = 400
_STRANGER: Final = "This bot takes orders from people it knows: make a code in the admin, then send /bind <code>."


class Fenced(Exception):
    """Another process polls this bot by now; nothing was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """A bot that takes orders, and under which lease it is polled."""

    channel_id: int
    token: str
    address: str
    lease: str
    epoch: int = 0

    def call(self, method: str, parameters: Mapping[str, Any], **more: float) -> Any:
        """Call a method of the API. Raises Undeliverable."""
        return botapi.call(self.address, self.token, method, parameters, **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """What of an update matters here."""

    update_id: int
    chat_id: int
    text: str
    button: str = ""
    at: datetime | None = None


def fetch(bot: Bot, *, wait: int) -> list[dict[str, Any]]:
    """Ask for what is new, waiting for it so many seconds at most. Raises Undeliverable."""
    offset = Poll.objects.filter(pk=bot.channel_id).values_list("offset", flat=True).first() or 0
    parameters = {"offset": offset, "timeout": wait, "limit": 100, "allowed_updates": ["message", "callback_query"]}
    found = bot.call("getUpdates", parameters, read=wait + 5.0)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def store(bot: Bot, found: Sequence[Mapping[str, Any]], *, now: datetime) -> int:
    """Store what arrived and move the offset beyond it; strangers are stored only when they want to bind a chat."""
    numbers = [each["update_id"] for each in found if isinstance(each.get("update_id"), int)]
    if not numbers:
        return 0
    known = dict(Chat.objects.filter(channel_id=bot.channel_id).values_list("chat_id", "person_id"))
    sent = [one for one in map(_parsed, found) if one and (one.chat_id in known or _is_binding(one.text))]
    rows = [
        Update(
            channel_id=bot.channel_id,
            update_id=one.update_id,
            chat_id=one.chat_id,
            person_id=known.get(one.chat_id),
            text="/bind ***" if _is_binding(one.text) else one.text,
            button=one.button,
            sent_at=one.at,
            stored_at=now,
        )
        for one in sent
    ]
    with transaction.atomic():
        _hold(bot)
        Poll.objects.get_or_create(pk=bot.channel_id)
        fresh = _fresh(bot, rows)
        Update.objects.bulk_create(fresh, ignore_conflicts=True)
        Poll.objects.filter(pk=bot.channel_id).update(offset=Greatest(F("offset"), max(numbers) + 1))
        ids = {row.update_id for row in fresh}
        for one in sent:
            if one.update_id in ids and _is_binding(one.text):
                _bind(bot, one, now)  # here: the code itself is stored nowhere
    return len(fresh)


def _fresh(bot: Bot, rows: Sequence[Update]) -> list[Update]:
    ids = [row.update_id for row in rows]
    seen = set(Update.objects.filter(channel_id=bot.channel_id, update_id__in=ids).values_list("update_id", flat=True))
    return [row for row in rows if row.update_id not in seen]


def execute_next(bot: Bot, *, now: datetime) -> bool:
    """Carry out the oldest update that nobody has begun, and store the answer; False when there is none."""
    with transaction.atomic():
        _hold(bot)
        row = locks.next_update(bot.channel_id)
        if row is None:
            return False
        Update.objects.filter(pk=row.pk).update(status=UpdateStatus.RUNNING)
    chat = binding.of(bot.channel_id, row.chat_id)
    said = Answer(text=_STRANGER)
    if chat is not None:
        said = speaking.answer(chat, row.text, now=now, written_at=row.sent_at)
    _answered(row, said)
    return True


def interrupted(bot: Bot) -> int:
    """Set aside what was being executed when a process ended, and tell whoever asked; call it when beginning."""
    with transaction.atomic():
        _hold(bot)
        running = Update.objects.filter(channel_id=bot.channel_id, status=UpdateStatus.RUNNING)
        rows = list(running)
        for row in rows:
            text = (
                f"The site was interrupted while it did this: {row.text}\nIt may be done or not: look, then ask anew."
            )
            Update.objects.filter(pk=row.pk).update(status=UpdateStatus.INTERRUPTED, answer=text)
    return len(rows)


def deliver(bot: Bot, *, now: datetime) -> int:
    """Hand over the answers that were not handed over yet, and return how many were. Raises Undeliverable."""
    done = (UpdateStatus.ANSWERED, UpdateStatus.INTERRUPTED)
    rows = Update.objects.filter(channel_id=bot.channel_id, answered_at=None, status__in=done).order_by("update_id")
    count = 0
    for row in rows[:50]:
        if now - row.stored_at < ANSWERED_WITHIN:
            _hand_over(bot, row)
            count += 1
        Update.objects.filter(pk=row.pk).update(answered_at=now)
    return count


def _hand_over(bot: Bot, row: Update) -> None:
    """Send an answer; what is refused for good is not tried again."""
    parameters: dict[str, Any] = {"chat_id": row.chat_id, "text": row.answer or "Done."}
    if row.keyboard:
        parameters["reply_markup"] = {"inline_keyboard": row.keyboard}
    try:
        if row.button:
            _take_button_back(bot, row.button)
        bot.call("sendMessage", parameters)
    except Undeliverable as error:
        if not error.permanent:
            raise
        log.warning("an answer to chat %s was refused: %s", row.chat_id, error)


def _take_button_back(bot: Bot, button: str) -> None:
    """Let the pressed button rest; Telegram refuses after a while, which matters to nobody."""
    try:
        bot.call("answerCallbackQuery", {"callback_query_id": button})
    except Undeliverable as error:
        if not error.permanent:
            raise


def _bind(bot: Bot, one: _Sent, now: datetime) -> None:
    words = one.text.split()
    chat = binding.bind(bot.channel_id, one.chat_id, words[1], now=now) if len(words) == 2 else None
    said = "This code is wrong, was used or is too old. Make a new one in the admin."
    if chat is not None:
        said = f"This chat gives orders as {chat.person.get_username()} now. /help lists them."
    row = Update.objects.get(channel_id=bot.channel_id, update_id=one.update_id)
    _answered(row, Answer(text=said))


def _answered(row: Update, said: Answer) -> None:
    keyboard = [[{"text": text, "callback_data": data[:64]} for text, data in line] for line in said.buttons]
    Update.objects.filter(pk=row.pk).update(status=UpdateStatus.ANSWERED, answer=said.fitting, keyboard=keyboard)


def _is_binding(text: str) -> bool:
    """Say whether a text is a code that binds: /bind CODE, or the /start CODE that a link sends."""
    words = text.split()
    return bool(words) and (words[0] == "/bind" or (words[0] == "/start" and len(words) == 2 and len(words[1]) == 22))


def _parsed(found: Mapping[str, Any]) -> _Sent | None:
    """Return what matters of an update; None unless a person wrote or pressed something in a private chat."""
    try:
        pressed = found.get("callback_query")
        message = pressed["message"] if pressed else found["message"]
        chat = message["chat"]
        if chat["type"] != "private" or not isinstance(chat["id"], int):
            return None
        text = str(pressed["data"] if pressed else message["text"]).replace("\x00", "")[:_LONGEST]
        at = None if pressed else datetime.fromtimestamp(message["date"], UTC)
        button = str(pressed["id"])[:64] if pressed else ""
        return _Sent(update_id=int(found["update_id"]), chat_id=chat["id"], text=text, button=button, at=at)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        log.info("an update was not understood: %s", json.dumps(list(found))[:100])
        return None


def _hold(bot: Bot) -> None:
    if not leases.holds(bot.lease, bot.epoch):
        raise Fenced(bot.lease)
