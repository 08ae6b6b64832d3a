"""The site as a program sees it: its API over HTTP with a token, and every way in which it does not answer."""

import threading
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from apps.domain.errors import Problem, Refused, Unavailable

TIMEOUT: Final = (5.0, 10.0)  # seconds to connect, and to wait for the answer
PREFIX: Final = "/api/v1/"
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
MOST_WAIT: Final = 60.0  # seconds a site may ask to be left alone


class SignedOut(Unavailable):
    """The site does not know the token, or no longer."""

    def __init__(self) -> None:
        super().__init__("The token is wrong, expired or revoked.", permanent=True)


class Away(Unavailable):
    """The site does not answer, or not now; `after` is how many seconds it asked to be left alone."""

    def __init__(self, message: str, *, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


class Declined(Exception):
    """The site understood and said no; the text is its own sentence."""


def address_of(text: str, *, plain: bool = False) -> str:
    """Return an address without its last slash. Raises Refused: a token travels in the clear only within a machine."""
    parts = urlsplit(text if "://" in text else f"https://{text}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise _refused(text, "is not the address of a site", "write https://trading.example.org")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not plain:
        rule = "would send the token in the clear"
        raise _refused(text, rule, "use https://, a tunnel to 127.0.0.1, or --plain-http if the network is yours")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


class Site:
    """Asks one site; one request at a time, so that several threads may share it."""

    def __init__(self, address: str, token: str) -> None:
        self.address = address
        self.token = token
        self._session = requests.Session()
        self._session.trust_env = False  # no .netrc in the place of the token
        self._session.headers.update({"Authorization": f"Bearer {token}", "Accept": "application/json"})
        self._alone = threading.Lock()
        self._closed = threading.Event()

    @property
    def socket_address(self) -> str:
        """The address of the gateway."""
        return f"ws{self.address.removeprefix('http')}/ws/v1"

    def read(self, path: str, **query: object) -> Any:
        """Return what the API answers. Raises SignedOut, Declined, Away."""
        return self._ask("GET", path, query, None)

    def tell(self, path: str, body: Mapping[str, object]) -> Any:
        """Ask for something to be done. Raises SignedOut, Declined, Away; after Away it may have been done."""
        return self._ask("POST", path, {}, body)

    def close(self) -> None:
        """Let go of the connection, at once or as soon as the answer under way is there; nothing more is asked."""
        self._closed.set()
        if self._alone.acquire(blocking=False):
            self._session.close()
            self._alone.release()

    def _ask(self, method: str, path: str, query: Mapping[str, object], body: Mapping[str, object] | None) -> Any:
        params = {name: str(value) for name, value in query.items()}
        try:
            return _read(self._exchange(method, f"{self.address}{PREFIX}{path}", params=params, json=body))
        except (requests.RequestException, ValueError) as error:
            raise Away(_plainly(error)) from None

    def _exchange(self, method: str, address: str, **what: Any) -> requests.Response:
        with self._alone:
            if self._closed.is_set():
                raise Away("it is not asked any more")
            try:
                # A site that sends elsewhere is not the one whose token this is.
                return self._session.request(method, address, timeout=TIMEOUT, allow_redirects=False, **what)
            finally:
                if self._closed.is_set():  # meanwhile
                    self._session.close()


def _read(answer: requests.Response) -> Any:
    if answer.ok and answer.status_code < 300:
        return answer.json()
    if answer.status_code == 401:
        raise SignedOut
    if answer.status_code == 429 or answer.status_code >= 500:
        raise Away(f"it answers {answer.status_code}: {_told(answer)}", after=_after(answer))
    if answer.status_code < 400:
        raise Away(f"it sends to {answer.headers.get('Location', 'somewhere else')}: use that address")
    raise Declined(_told(answer))


def _told(answer: requests.Response) -> str:
    """Return the sentence of an answer that explains itself, or what its number means."""
    try:
        found = answer.json()
        return str(found.get("detail") or found.get("title") or answer.reason)
    except (ValueError, AttributeError):
        return str(answer.reason)


def _after(answer: requests.Response) -> float:
    text = answer.headers.get("Retry-After", "")
    return min(float(text), MOST_WAIT) if text.isascii() and text.isdigit() else 0.0


def _plainly(error: Exception) -> str:
    """Say in a few words why nothing came; the library's own sentence names its objects."""
    if isinstance(error, requests.Timeout):
        return "it does not answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.ConnectionError):
        return "nothing answers at its address"
    return "what it answers is not JSON" if isinstance(error, ValueError) else type(error).__name__


def _refused(value: str, rule: str, remedy: str) -> Refused:
    return Refused(Problem(field="address", value=value, rule=rule, remedy=remedy))
