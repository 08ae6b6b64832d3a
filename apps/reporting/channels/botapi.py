"""Talking to a Telegram bot's API: one call, its result or what went wrong; for messages and for the remote control."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from apps.reporting.channels import web
from apps.reporting.channels.base import Undeliverable

USUAL: Final = "https://api.telegram.org"
LONGEST: Final = 4096  # characters of a message, a limit of Telegram


def call(address: str, token: str, method: str, parameters: Mapping[str, Any], *, read: float = web.READ) -> Any:
    """Call a method and return its result. Raises Undeliverable; no sentence holds the token."""
    answer = web.exchange(f"{address.rstrip('/')}/bot{token}/{method}", web.packed(parameters), read=read)
    said = answer.json
    if answer.status == 200 and said.get("ok") is True:
        return said.get("result")
    sentence = str(said.get("description") or answer.words or "no description")[:200].replace(token, "[token]")
    raise _sorted(answer.status, sentence, said.get("parameters"))


def _sorted(status: int, sentence: str, parameters: object) -> Undeliverable:
    more = parameters if isinstance(parameters, dict) else {}
    wait = more.get("retry_after")
    if status == 429:
        asked = timedelta(seconds=wait) if isinstance(wait, int) and 0 <= wait < 10**7 else None
        return Undeliverable(f"Telegram: {sentence}", retry_after=asked)
    if "migrate_to_chat_id" in more:
        return Undeliverable(f"Telegram: {sentence}: the chat is now {more['migrate_to_chat_id']}.", permanent=True)
    if status >= 500 or status == 200:
        return Undeliverable(f"Telegram: HTTP {status}: {sentence}", unclear=True)
    return Undeliverable(f"Telegram: {sentence}", permanent=True)  # blocked, no such chat, a wrong token
