"""A Bot API on loopback: it hands out updates from an offset, waits when there are none, remembers what was said."""

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.reporting import providers
from tests.reporting.providers import Asked, Reply, Web

CHAT = 4242


@dataclass
class BotApi:
    """The server's side of one bot."""

    web: Web
    updates: list[dict[str, Any]] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)
    pressed: list[str] = field(default_factory=list)
    polls: list[int] = field(default_factory=list)
    fail: Reply | None = None
    forgetful: bool = False  # hands out everything again and again, whatever the offset
    _numbers: Any = field(default_factory=lambda: itertools.count(1000))
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def write(self, text: str, *, chat: int = CHAT, kind: str = "private", at: float | None = None) -> int:
        """Let a person write something; return the number of the update."""
        message = {
            "message_id": 1,
            "date": int(at if at is not None else time.time()),
            "chat": {"id": chat, "type": kind},
            "from": {"id": chat},
            "text": text,
        }
        return self._add({"message": message})

    def press(self, data: str, *, chat: int = CHAT) -> int:
        """Let a person press a button."""
        message = {"message_id": 1, "date": 0, "chat": {"id": chat, "type": "private"}}
        return self._add({"callback_query": {"id": f"q{data}", "data": data, "message": message}})

    def _add(self, update: dict[str, Any]) -> int:
        with self._changed:
            number = next(self._numbers)
            self.updates.append({"update_id": number, **update})
            self._changed.notify_all()
        return number

    def answer(self, asked: Asked) -> Reply | None:
        method = asked.path.rpartition("/")[2]
        if self.fail is not None:
            return self.fail
        if method == "getUpdates":
            return providers.ok({"ok": True, "result": self._after(asked.json)})
        if method == "answerCallbackQuery":
            self.pressed.append(asked.json["callback_query_id"])
            return providers.ok({"ok": True, "result": True})
        assert method == "sendMessage", asked.path
        with self._changed:
            self.said.append(asked.json)
            self._changed.notify_all()
        return providers.ok({"ok": True, "result": {"message_id": len(self.said)}})

    def _after(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        self.polls.append(asked["offset"])
        until = time.monotonic() + min(asked["timeout"], 3)
        with self._changed:
            while True:
                new = [u for u in self.updates if self.forgetful or u["update_id"] >= asked["offset"]]
                left = until - time.monotonic()
                if new or left <= 0:
                    return new[:100]
                self._changed.wait(left)

    def wait(self, count: int, *, seconds: float = 20.0) -> list[str]:
        """Wait until so many answers were given, and return their texts."""
        until = time.monotonic() + seconds
        with self._changed:
            while len(self.said) < count and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
        return [each["text"] for each in self.said]

    @property
    def texts(self) -> list[str]:
        return [each["text"] for each in self.said]

    def button(self, index: int = -1, number: int = 0) -> str:
        """Return what a button of an answer sends."""
        markup = self.said[index]["reply_markup"]["inline_keyboard"]
        return str([button for row in markup for button in row][number]["callback_data"])


@contextlib.contextmanager
def serve(web: Web) -> Iterator[BotApi]:
    """Let a provider on loopback be a Bot API."""
    made = BotApi(web)
    web.answer = made.answer
    yield made
