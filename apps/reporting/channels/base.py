"""What every channel offers, and how it says that a message did not arrive.

Undeliverable            certainly not delivered: tried again, unless it is permanent
    .unclear             perhaps delivered (the answer was lost): tried again, so it may arrive twice
    .retry_after         how long the provider wants to be left alone
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from apps.domain.errors import Problem, Unavailable


class Undeliverable(Unavailable):
    """A message did not arrive, or nobody knows; the sentence says what the provider said."""

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        unclear: bool = False,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message, permanent=permanent)
        self.unclear = unclear
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A PDF that goes with a message where the channel can carry one; elsewhere the message names its address."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, ready to be sent; `key` is the same in every try."""

    key: str
    kind: str
    severity: str
    subject: str
    account_id: int | None
    at: datetime
    title: str
    body: str
    attachment: Attachment | None = None

    @property
    def text(self) -> str:
        """Title and body as one text."""
        return f"{self.title}\n{self.body}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One thing a channel has to be told. Secrets are sealed and never shown again."""

    name: str
    help: str
    required: bool = True
    secret: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()
    longest: int = 200


Settings = Mapping[str, str]


class Channel(ABC):
    """A provider that takes messages. Made for one piece of work, in the process that does it."""

    name: ClassVar[str]
    settings: ClassVar[tuple[Setting, ...]]
    keyed: ClassVar[bool] = False  # whoever receives can tell a repeated message by its key

    def __init__(self, given: Settings) -> None:
        """Take the settings and the secrets, all of them text, as `problems` accepted them."""
        self.given: dict[str, str] = {each.name: given.get(each.name) or each.default for each in self.settings}

    @classmethod
    def problems(cls, given: Settings) -> Iterable[Problem]:
        """Say what is wrong with what was given, beyond what is missing or not among the choices."""
        return ()

    @abstractmethod
    def send(self, message: Message) -> str:
        """Hand over a message and return how the provider calls it. Raises Undeliverable."""


def wrong(plugin: type[Channel], given: Mapping[str, Any]) -> list[Problem]:
    """Return everything that is wrong with what was given to a channel."""
    found = [problem for each in plugin.settings for problem in _wrong(each, str(given.get(each.name) or ""))]
    return found or list(plugin.problems({name: str(value) for name, value in given.items()}))


def _wrong(setting: Setting, value: str) -> Iterable[Problem]:
    shown = "" if setting.secret else value[:60]
    if setting.required and not value and not setting.default:
        yield Problem(field=setting.name, value=shown, rule="is missing", remedy=setting.help)
    elif len(value) > setting.longest or any(letter in value for letter in "\r\n\x00"):
        rule = f"is not one line of at most {setting.longest} characters"
        yield Problem(field=setting.name, value=shown, rule=rule, remedy="shorten it")
    elif value and setting.choices and value not in setting.choices:
        yield Problem(
            field=setting.name, value=shown, rule="is not known", remedy=f"use one of {', '.join(setting.choices)}"
        )
