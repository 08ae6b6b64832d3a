"""Which chat is whose: a code made in the admin and sent from the chat binds the two, once."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from apps.access import history
from apps.domain.errors import Problem, Refused
from apps.journal import services as journal
from apps.reporting.models import BindingCode, Channel, Chat

LIVES: Final = timedelta(minutes=15)


def make(channel_id: int, person_id: int, *, now: datetime) -> str:
    """Return a new code for a person and a bot; earlier ones of theirs are void. Raises Refused for another channel."""
    channel = Channel.objects.get(pk=channel_id)
    if channel.kind != "telegram" or channel.options.get("control") != "yes":
        rule, remedy = "takes no orders", "choose a telegram channel whose control is 'yes'"
        raise Refused(Problem(field="channel", value=channel.name, rule=rule, remedy=remedy))
    code = secrets.token_urlsafe(16)
    with transaction.atomic():
        BindingCode.objects.filter(channel_id=channel_id, person_id=person_id, used_at=None).delete()
        BindingCode.objects.create(
            channel_id=channel_id, person_id=person_id, digest=_digest(code), expires_at=now + LIVES
        )
    return code


def bind(channel_id: int, chat_id: int, code: str, *, now: datetime) -> Chat | None:
    """Bind a chat to whom the code was made for; None when the code is wrong, used or too old."""
    with transaction.atomic():
        open_ = BindingCode.objects.filter(channel_id=channel_id, used_at=None, expires_at__gt=now)
        row = open_.filter(digest=_digest(code), person__is_active=True).select_related("person").first()
        if row is None or not BindingCode.objects.filter(pk=row.pk, used_at=None).update(used_at=now):
            return None
        values = {"person": row.person, "bound_at": now}
        with history.by(row.person.get_username(), source="telegram"):
            chat, _ = Chat.objects.update_or_create(channel_id=channel_id, chat_id=chat_id, defaults=values)
        chat.confirmations.all().delete()  # what somebody else left open there is not theirs
        payload = {"chat": chat_id, "channel": channel_id, "person": row.person.get_username()}
        journal.record("chat.admitted", f"user:{row.person_id}", actor=row.person.get_username(), payload=payload)
    return chat


def release(chat: Chat, *, actor: str) -> None:
    """Let a chat give no more orders."""
    with transaction.atomic():
        payload = {"chat": chat.chat_id, "channel": chat.channel_id, "person": chat.person.get_username()}
        journal.record("chat.released", f"user:{chat.person_id}", actor=actor, payload=payload)
        Chat.objects.filter(pk=chat.pk).delete()


def of(channel_id: int, chat_id: int) -> Chat | None:
    """Return the bound chat, with its person as they are now."""
    return Chat.objects.select_related("person").filter(channel_id=channel_id, chat_id=chat_id).first()


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
