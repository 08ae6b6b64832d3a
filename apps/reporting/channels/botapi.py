"""Talking to a Telegram bot's API: one call, its result or what went wrong; for messages and for the remote control."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from urllib3 import encode_multipart_formdata

from apps.reporting.channels import web
from apps.reporting.channels.base import Attachment, Undeliverable

USUAL: Final = "https://api.telegram.org"
LONGEST: Final = 4096  # characters of a message, a limit of Telegram
LONGEST_CAPTION: Final = 1024  # of the words below a file
UPLOAD: Final = 30.0  # seconds for the answer to a file


def call(address: str, token: str, method: str, parameters: Mapping[str, Any], *, read: float = web.READ) -> Any:
    """Call a method and return its result. Raises Undeliverable; no sentence holds the token."""
    return _result(web.exchange(_url(address, token, method), web.packed(parameters), read=read), token)


def send_file(address: str, token: str, parameters: Mapping[str, str], attached: Attachment) -> Any:
    """Send a PDF with its words and return the result. Raises Undeliverable as `call`."""
    document = (attached.name, attached.content, "application/pdf")
    fields: list[tuple[str, str | tuple[str, bytes, str]]] = [*parameters.items(), ("document", document)]
    body, kind = encode_multipart_formdata(fields)
    return _result(web.exchange(_url(address, token, "sendDocument"), body, {"Content-Type": kind}, read=UPLOAD), token)


def _url(address: str, token: str, method: str) -> str:
    return f"{address.rstrip('/')}/bot{token}/{method}"


def _result(answer: web.Answer, token: str) -> Any:
    """Return what an answer holds. Raises Undeliverable; no sentence holds the token."""
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
