"""How does the product ask a venue's REST interface? Politely: a token bucket, time limits, and typed failures."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import SystemRandom
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from apps.market.feeds.dial import is_loopback

_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class FeedUnavailable(Exception):
    """A venue did not answer a question; `permanent` says that asking again is no use."""

    def __init__(self, sentence: str, *, permanent: bool) -> None:
        super().__init__(sentence)
        self.permanent = permanent


@dataclass(frozen=True, slots=True, kw_only=True)
class RestTimings:
    """Every limit of a REST client; spans in seconds."""

    connect_timeout: float = 3.0
    read_timeout: float = 5.0  # between two pieces of an answer
    deadline: float = 20.0  # for one whole answer, however slowly it drips
    attempts: int = 3
    backoff_base: float = 0.5
    backoff_cap: float = 10.0
    per_second: float = 8.0  # the venue allows 10 per address, shared with whatever else runs here
    burst: float = 10.0
    max_bytes: int = 32 << 20


class Bucket:
    """A token bucket: `burst` at once, then `per_second`. Shared by the threads of one client."""

    def __init__(self, *, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = burst
        self._at = clock()

    def reserve(self) -> float:
        """Take one token, from the future when none is left, and return the seconds to wait for it."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second) - 1.0
            self._at = now
            return max(0.0, -self._tokens / self._per_second)


class RestClient:
    """GETs below one base address. Loopback never goes through a proxy; redirects are refused."""

    def __init__(
        self, base_url: str, timings: RestTimings | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self._base = base_url.rstrip("/")
        self._timings = timings or RestTimings()
        self._bucket = Bucket(per_second=self._timings.per_second, burst=self._timings.burst)
        self._draw = SystemRandom().uniform
        self._closing = threading.Event()
        self._http = requests.Session()
        self._http.headers["User-Agent"] = "tradingsite"
        self._http.headers.update(headers or {})
        if is_loopback(urlsplit(base_url).hostname or ""):
            self._http.trust_env = False

    def close(self) -> None:
        """End waiting requests soon and let go of the connections."""
        self._closing.set()
        self._http.close()

    def get(self, path: str, query: Mapping[str, str | int] | None = None) -> bytes:
        """Return the body of a good answer. Raises FeedUnavailable after the last attempt."""
        attempt = 1
        while True:
            self._pause(self._bucket.reserve())
            try:
                return self._once(path, query or {})
            except _Retry as failure:
                if attempt >= self._timings.attempts:
                    raise FeedUnavailable(f"GET {path}: {failure}", permanent=False) from failure
                self._pause(max(failure.after, self._backoff(attempt)))
                attempt += 1

    def _once(self, path: str, query: Mapping[str, str | int]) -> bytes:
        limits = (self._timings.connect_timeout, self._timings.read_timeout)
        until = time.monotonic() + self._timings.deadline
        try:
            with self._http.get(
                self._base + path, params=query, timeout=limits, stream=True, allow_redirects=False
            ) as answer:
                body = self._body(answer, until)
        except (requests.RequestException, HTTPError) as error:
            raise _Retry(f"{type(error).__name__}: {_why(error)}") from error
        if answer.status_code == 200:
            return body
        words = f"HTTP {answer.status_code} {body[:200].decode('utf-8', 'replace')}"
        if answer.status_code in _TRY_AGAIN:
            raise _Retry(words, after=self._asked_wait(answer.headers.get("Retry-After", "")))
        raise FeedUnavailable(f"GET {path}: {words}", permanent=True)

    def _body(self, answer: requests.Response, until: float) -> bytes:
        pieces: list[bytes] = []
        size = 0
        # read1 returns what one read brought: iter_content would wait for a full piece, however slowly it drips.
        while piece := answer.raw.read1(1 << 16, decode_content=True):
            size += len(piece)
            if size > self._timings.max_bytes:
                raise FeedUnavailable(f"the answer is larger than {self._timings.max_bytes} bytes", permanent=True)
            if time.monotonic() > until:
                raise _Retry(f"the answer took longer than {self._timings.deadline} s")
            pieces.append(piece)
        return b"".join(pieces)

    def _asked_wait(self, text: str) -> float:
        if not (text.isascii() and text.isdigit() and len(text) < 6):
            return 0.0
        return min(float(text), self._timings.backoff_cap)

    def _backoff(self, attempt: int) -> float:
        return self._draw(0.0, min(self._timings.backoff_base * 2.0 ** (attempt - 1), self._timings.backoff_cap))

    def _pause(self, seconds: float) -> None:
        if self._closing.wait(seconds):
            raise FeedUnavailable("the client is closed", permanent=True)


def _why(error: Exception) -> str:
    """Return what went wrong inside: requests says it last, behind the whole address."""
    inner = getattr(error.args[0], "reason", None) if error.args else None
    return str(inner or error)[:200]


class _Retry(Exception):
    """One attempt failed and another may succeed; `after` is the wait that the venue asked for, in seconds."""

    def __init__(self, sentence: str, after: float = 0.0) -> None:
        super().__init__(sentence)
        self.after = after
