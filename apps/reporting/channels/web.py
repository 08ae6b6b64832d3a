"""One POST to a judged address: no redirect, no proxy, a deadline, and every end sorted into what it means."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, SSLError

from apps.reporting.channels import addresses
from apps.reporting.channels.base import Undeliverable

CONNECT: Final = 3.0  # seconds
READ: Final = 7.0
MOST: Final = 64 * 1024  # bytes of an answer that are read
_BUSY: Final = frozenset({408, 425, 429})
_GONE: Final = "the provider refused it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the provider answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The answer as an object; empty when it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def words(self) -> str:
        """What it says, short enough for a row."""
        return " ".join(self.body[:300].decode("utf-8", "replace").split())[:200]


def post(url: str, body: bytes, headers: Mapping[str, str] | None = None, *, read: float = READ) -> Answer:
    """Send a body and return the answer with a status of 2xx. Raises Undeliverable, sorted; see `judge`."""
    answer = exchange(url, body, headers, read=read)
    judge(answer)
    return answer


def exchange(url: str, body: bytes, headers: Mapping[str, str] | None = None, *, read: float = READ) -> Answer:
    """Send a body and return whatever was answered. Raises Undeliverable when nothing was."""
    target = addresses.target_of(url)
    usual = {"Host": _host(target), "Content-Type": "application/json", "User-Agent": "tradingsite"}
    pool = _pool(target, urllib3.Timeout(connect=CONNECT, read=read))
    try:
        response = pool.urlopen(
            "POST",
            target.path,
            body=body,
            headers={**usual, **(headers or {})},
            retries=False,
            redirect=False,
            preload_content=False,
            assert_same_host=False,
        )
        try:
            return Answer(status=response.status, headers=dict(response.headers), body=_read(response))
        finally:
            response.close()
    except (NewConnectionError, ConnectTimeoutError, SSLError) as error:
        raise Undeliverable(f"No connection to {target.host}: {type(error).__name__}.") from None
    except (HTTPError, OSError) as error:  # sent, perhaps in part; the answer was lost
        raise Undeliverable(f"No answer from {target.host}: {type(error).__name__}.", unclear=True) from None
    finally:
        pool.close()


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    """Return the beginning of an answer; one that drips is cut, because its status is known."""
    parts, size, until = [], 0, time.monotonic() + READ
    while size < MOST and time.monotonic() < until:
        part = response.read1(MOST - size)
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def judge(answer: Answer) -> None:
    """Raise Undeliverable unless the status is 2xx: 429 and 5xx are tried again, other 4xx and redirects are not."""
    if 200 <= answer.status < 300:
        return
    sentence = f"HTTP {answer.status}: {answer.words or _GONE}"
    if answer.status in _BUSY or answer.status >= 500:
        raise Undeliverable(sentence, retry_after=asked_wait(answer), unclear=answer.status in {500, 502, 504})
    raise Undeliverable(sentence, permanent=True)


def asked_wait(answer: Answer) -> timedelta | None:
    """Return how long the answer asks to wait: seconds, or until an instant."""
    text = next((value for name, value in answer.headers.items() if name.lower() == "retry-after"), "").strip()
    if text.replace(".", "", 1).isascii() and text.replace(".", "", 1).isdigit():
        return timedelta(seconds=min(float(text), 10**7))
    try:
        until = parsedate_to_datetime(text)
        return max(until - datetime.now(UTC), timedelta(0))  # noqa: TID251 - it names an instant on the world's clock
    except (ValueError, TypeError):
        return None


def packed(value: Mapping[str, Any]) -> bytes:
    """Return an object as the bytes of its JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _host(target: addresses.Target) -> str:
    named = f"[{target.host}]" if ":" in target.host else target.host
    usual = 443 if target.secure else 80
    return named if target.port == usual else f"{named}:{target.port}"


def _pool(target: addresses.Target, timeout: urllib3.Timeout) -> urllib3.HTTPConnectionPool:
    if not target.secure:
        return urllib3.HTTPConnectionPool(target.ip, target.port, timeout=timeout, maxsize=1)
    return urllib3.HTTPSConnectionPool(
        target.ip,
        target.port,
        timeout=timeout,
        maxsize=1,
        cert_reqs="CERT_REQUIRED",
        server_hostname=target.host,
        assert_hostname=target.host,
    )
