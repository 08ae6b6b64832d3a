"""What a command is: its words, who may use it, whether it asks back, and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from apps.access.models import User

LONGEST: Final = 3800  # characters of an answer; Telegram takes 4096
Button = tuple[str, str]  # what it says, what pressing it sends (64 bytes at most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A command as it was asked: by whom, when, and with which words after it."""

    person: User
    words: tuple[str, ...]
    now: datetime

    @property
    def actor(self) -> str:
        """Who asked, for the journal."""
        return f"{self.person.get_username()[:130]} (telegram)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is said in return, and rows of buttons below it."""

    text: str
    buttons: tuple[tuple[Button, ...], ...] = ()

    @property
    def fitting(self) -> str:
        """The text, cut to what a message holds."""
        return self.text if len(self.text) <= LONGEST else self.text[: LONGEST - 1] + "\u2026"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command. Without `permission` everybody may use it whose chat is bound."""

    name: str
    help: str
    run: Callable[[Asked], Answer]
    permission: str = ""
    acts: bool = False  # it changes something: an old message is not obeyed
    asks_back: bool = False  # it is carried out after a yes


def number(words: tuple[str, ...], *, usual: int, most: int) -> int:
    """Return the number that the first word is, within 1 and `most`; the usual one when there is none."""
    text = words[0].lstrip("#") if words else ""
    if not (text.isascii() and text.isdigit()) or len(text) > 12:
        return usual
    return min(max(int(text), 1), most)
