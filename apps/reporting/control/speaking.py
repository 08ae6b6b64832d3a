"""From a line of text to an answer: the command is found, the right is checked, what is dangerous asks back."""

import hashlib
import logging
import secrets
from datetime import datetime, timedelta
from functools import cache
from typing import Final

from django.db import transaction

from apps.access import history
from apps.domain.errors import Refused, Unavailable
from apps.journal import services as journal
from apps.reporting.control import acting, figures, looking, site
from apps.reporting.control.contract import Answer, Asked, Command
from apps.reporting.models import Chat, Confirmation

log = logging.getLogger(__name__)

WAITS: Final = timedelta(seconds=60)  # for a yes
STALE: Final = timedelta(minutes=5)  # an order that took longer to arrive is not obeyed
_ALIASES: Final = {"count": "status", "pause": "stop", "stopentry": "stop", "forceexit": "close", "fx": "close"}


@cache
def commands() -> dict[str, Command]:
    """Return every command by its name."""
    found = [*looking.commands(), *figures.commands(), *acting.commands(), *site.commands()]
    helping = Command(name="help", help="this list", run=lambda asked: site.help_of(commands(), asked))
    return {each.name: each for each in [*found, helping]}


def answer(chat: Chat, text: str, *, now: datetime, written_at: datetime | None = None) -> Answer:
    """Do what a line from a bound chat asks for, or ask back; never raises for what a person can cause."""
    if not chat.person.is_active:
        return Answer(text="Your user is switched off.")
    word, *words = text.strip().lstrip("/").split() or ["help"]
    name = word.partition("@")[0].lower()
    if name == "yes":
        return _confirmed(chat, words[0] if words else "", now)
    if name == "no":
        return _dropped(chat, now)
    command = commands().get(_ALIASES.get(name, name))
    if command is None:
        return Answer(text=f"/{name[:30]} is not known. /help lists what is.")
    asked = Asked(person=chat.person, words=tuple(words), now=now)
    problem = _problem(command, asked, written_at)
    if problem:
        return Answer(text=problem)
    if command.asks_back:
        return _ask_back(chat, " ".join([command.name, *words])[:200], now)
    return run(command, asked)


def run(command: Command, asked: Asked) -> Answer:
    """Carry out a command; a refusal is an answer, and what changed something is written down."""
    try:
        with history.by(asked.actor, source="telegram"):
            found = command.run(asked)
    except Refused as refused:
        return Answer(text=f"Refused: {refused}")
    except Unavailable as error:
        return Answer(text=f"Not possible now: {error}")
    if command.acts:
        line = " ".join([command.name, *asked.words])[:200]
        payload = {"command": line, "answer": found.text[:300]}
        journal.record("chat.commanded", f"user:{asked.person.pk}", actor=asked.actor, payload=payload)
    return found


def _problem(command: Command, asked: Asked, written_at: datetime | None) -> str:
    if command.permission and not asked.person.has_perm(command.permission):
        return f"You may not use /{command.name}: it takes the permission {command.permission}."
    if command.acts and written_at is not None and asked.now - written_at > STALE:
        return f"This was written at {written_at:%H:%M:%S} UTC and arrived late. Nothing was done: send it again."
    return ""


def _ask_back(chat: Chat, line: str, now: datetime) -> Answer:
    code = f"{secrets.randbelow(10**6):06d}"
    row = Confirmation.objects.create(chat=chat, command=line, digest=_digest(code), expires_at=now + WAITS)
    seconds = round(WAITS.total_seconds())
    text = f"Really: {line}?\nPress Yes or send /yes {code} within {seconds} seconds."
    return Answer(text=text, buttons=((("Yes", f"yes {row.pk}.{code}"), ("No", "no")),))


def _confirmed(chat: Chat, word: str, now: datetime) -> Answer:
    """Carry out what the code belongs to: once, in time, from the same chat, and only if it is still allowed."""
    key, _, code = word.rpartition(".")
    with transaction.atomic():
        waiting = Confirmation.objects.select_related(None).filter(chat=chat, digest=_digest(code), used_at=None)
        if key:
            waiting = waiting.filter(pk=int(key) if key.isascii() and key.isdigit() and len(key) < 18 else 0)
        row = waiting.filter(expires_at__gt=now).order_by("-id").first()
        # Pressed twice, or by two processes: only one finds it unused.
        if row is None or not Confirmation.objects.filter(pk=row.pk, used_at=None).update(used_at=now):
            return Answer(text="Nothing waits for that: the code is wrong, was used, or its minute is over.")
    name, *words = row.command.split()
    asked = Asked(person=chat.person, words=tuple(words), now=now)
    command = commands()[name]
    problem = _problem(command, asked, None)
    return Answer(text=problem) if problem else run(command, asked)


def _dropped(chat: Chat, now: datetime) -> Answer:
    count = Confirmation.objects.filter(chat=chat, used_at=None, expires_at__gt=now).update(used_at=now)
    return Answer(text="Dropped." if count else "Nothing was waiting.")


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
