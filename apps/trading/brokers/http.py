"""What every broker reached by HTTP shares: one session, time limits, a pace per key, and errors in three classes.

BrokerBusy     no connection, 429: certainly without effect; for a question also a time-out, a 5xx or a broken answer
BrokerUnclear  a request that may have changed something got a time-out, a reset, a 5xx or a broken answer
BrokerRefused  any other 4xx, and a redirect; `NotFound` (404) and `Denied` (401, 403) are refusals of their own

Sentences carry the path, never a header: nothing that proves who we are reaches a log or a row.
"""

import hashlib
import math
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn
from urllib.parse import urlencode, urlsplit

import msgspec
import requests
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError

from apps.market.feeds.dial import is_loopback
from apps.trading.brokers.base import Access, BrokerBusy, BrokerRefused, BrokerUnclear

Query = Sequence[tuple[str, str]]
Sign = Callable[[str, str, bytes], Mapping[str, str]]
"""Makes the headers that prove who asks: from method, path with query, and body."""

_LIMITED = frozenset({418, 425, 429})
_WORDS = 300


class NotFound(BrokerRefused):
    """The venue knows no such thing (404)."""


class Denied(BrokerRefused):
    """The venue does not take our key, or not at this time (401, 403)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every limit of one broker's HTTP; spans in seconds."""

    connect: float = 3.0
    read: float = 8.0  # between two pieces of an answer
    deadline: float = 15.0  # for one whole answer, however slowly it drips
    per_second: float = 20.0
    burst: float = 20.0
    patience: float = 2.0  # a longer wait for a turn is the caller's to make: BrokerBusy
    max_bytes: int = 16 << 20


def limits_of(access: Access, usual: Limits | None = None) -> Limits:
    """Return the usual limits, with those that the account's options name: `read_timeout`, `requests_per_second`.

    Raises BrokerRefused for an option that is no positive number.
    """
    limits = usual or Limits()
    return replace(
        limits,
        read=_chosen(access, "read_timeout", limits.read),
        per_second=_chosen(access, "requests_per_second", limits.per_second),
    )


def _chosen(access: Access, name: str, usual: float) -> float:
    given = (access.options or {}).get(name, usual)
    try:
        number = float(given)
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number < math.inf:
        raise BrokerRefused(f"the option {name} of the account must be a positive number, not {given!r}")
    return number


class Pace:
    """When may this key ask next? A token bucket that also keeps the pauses a venue asks for; shared by threads."""

    def __init__(self, *, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = burst
        self._at = clock()
        self._closed_until = 0.0

    def reserve(self, patience: float) -> float:
        """Take a turn and return the seconds until it, or take none when it is further off than `patience`."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
            self._at = now
            wait = max(0.0, (1.0 - self._tokens) / self._per_second, self._closed_until - now)
            if wait <= patience:
                self._tokens -= 1.0
            return wait

    def pause(self, seconds: float) -> None:
        """Let nobody ask for some seconds."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock() + seconds)


_paces: dict[str, Pace] = {}
_paces_lock = threading.Lock()


def pace_of(address: str, key: str, limits: Limits) -> Pace:
    """Return the pace of one key at one address, the same for every broker of this process."""
    name = hashlib.sha256(f"{address}\n{key}".encode()).hexdigest()
    with _paces_lock:
        return _paces.setdefault(name, Pace(per_second=limits.per_second, burst=limits.burst))


class Line:
    """Requests below one base address as one key. Loopback never goes through a proxy; redirects are refused."""

    def __init__(self, address: str, key: str, sign: Sign, limits: Limits | None = None) -> None:
        self._address = address.rstrip("/")
        self._sign = sign
        self._limits = limits or Limits()
        self._pace = pace_of(self._address, key, self._limits)
        self._http = requests.Session()
        self._http.headers["User-Agent"] = "tradingsite"
        if is_loopback(urlsplit(address).hostname or ""):
            self._http.trust_env = False

    @property
    def host(self) -> str:
        """Host and port as they stand in the address."""
        return urlsplit(self._address).netloc

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def read(self, path: str, query: Query = (), *, kind: Any = Any) -> Any:
        """Ask a question that changes nothing and return its JSON as a `kind`. Raises the three errors."""
        raw = self._ask("GET", path, query, None, changes=False)
        return self._decoded(f"GET {path}", raw, kind, changes=False)

    def change(self, method: str, path: str, body: object = None, query: Query = (), *, kind: Any = Any) -> Any:
        """Send what may change something and return its JSON as a `kind`, no body as null. Raises the three errors."""
        raw = self._ask(method, path, query, body, changes=True)
        return self._decoded(f"{method} {path}", raw, kind, changes=True)

    def _ask(self, method: str, path: str, query: Query, body: object, *, changes: bool) -> bytes:
        self._wait_for_turn()
        target = f"{path}?{urlencode(query)}" if query else path
        content = b"" if body is None else msgspec.json.encode(body)
        status, headers, raw = self._exchange(method, target, content, changes)
        if not 200 <= status < 300:
            self._fail(f"{method} {path}: HTTP {status} {_shown(raw)}", status, headers, changes)
        return raw

    def _wait_for_turn(self) -> None:
        wait = self._pace.reserve(self._limits.patience)
        if wait > self._limits.patience:
            raise BrokerBusy(f"the venue's rate limit leaves no turn for {wait:.1f} s", after=wait)
        if wait:
            time.sleep(wait)

    def _exchange(
        self, method: str, target: str, content: bytes, changes: bool
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = {**self._sign(method, target, content), "Content-Type": "application/json"}
        until = time.monotonic() + self._limits.deadline
        path = target.partition("?")[0]
        try:
            with self._http.request(
                method, self._address + target, data=content or None, headers=headers, stream=True,
                timeout=(self._limits.connect, self._limits.read), allow_redirects=False,
            ) as answer:  # fmt: skip
                return answer.status_code, answer.headers, self._body(answer, until)
        except (requests.RequestException, HTTPError, TimeoutError) as error:
            sentence = f"{method} {path}: {_why(error)}"
            without_effect = not changes or _never_left(error)
        # Outside of the handler: the failed request carries our headers and must not hang on what is raised.
        raise BrokerBusy(sentence) if without_effect else BrokerUnclear(sentence)

    def _body(self, answer: requests.Response, until: float) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while piece := answer.raw.read1(1 << 16, decode_content=True):
            size += len(piece)
            if size > self._limits.max_bytes:
                raise TimeoutError(f"the answer is larger than {self._limits.max_bytes} bytes")
            if time.monotonic() > until:
                raise TimeoutError(f"the answer took longer than {self._limits.deadline:g} s")
            pieces.append(piece)
        return b"".join(pieces)

    def _decoded(self, what: str, raw: bytes, kind: Any, *, changes: bool) -> Any:
        try:
            return msgspec.json.decode(raw.strip() or b"null", type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            sentence = f"{what}: the answer cannot be read ({error}): {_shown(raw)}"
        raise BrokerUnclear(sentence) if changes else BrokerBusy(sentence)

    def _fail(self, sentence: str, status: int, headers: Mapping[str, str], changes: bool) -> NoReturn:
        if status in _LIMITED:
            after = asked_wait(headers)
            self._pace.pause(after)
            raise BrokerBusy(sentence, after=after)
        if status >= 500 or status == 408:
            raise BrokerUnclear(sentence) if changes else BrokerBusy(sentence, after=asked_wait(headers))
        if status == 404:
            raise NotFound(sentence)
        if status in (401, 403):
            raise Denied(sentence)
        raise BrokerRefused(sentence)


def asked_wait(headers: Mapping[str, str], cap: float = 120.0) -> float:
    """Return the seconds that a Retry-After asks for, 1 without a readable one, `cap` at most."""
    text = headers.get("Retry-After", "")
    return min(float(text), cap) if text.isascii() and text.isdigit() and len(text) < 9 else 1.0


def _never_left(error: Exception) -> bool:
    """Say whether no byte of the request can have reached the venue: the connection never stood."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    cause = reason.args[0] if isinstance(reason, SSLError) and reason.args else None
    return isinstance(reason, NewConnectionError) or isinstance(cause, ssl.SSLCertVerificationError)


def _why(error: Exception) -> str:
    """Return what went wrong inside, without the address and what hangs on the request."""
    inner = getattr(error.args[0], "reason", None) if error.args else None
    return f"{type(error).__name__}: {str(inner or error)[:_WORDS]}"


def _shown(raw: bytes) -> str:
    """Return the beginning of an answer for people, on one line."""
    return " ".join(raw[:_WORDS].decode("utf-8", "replace").split())
