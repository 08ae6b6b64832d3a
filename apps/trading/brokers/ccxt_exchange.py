"""How is an exchange asked through ccxt? One object per broker, with its pace, its markets, and its errors as ours.

ccxt is an extra (requirements-exchanges.txt): it is large, and only imported when a broker is used. It is told to leave
numbers as text. Whether a failed request had an effect is told by what happened to it, not by ccxt's word alone: the
same word stands for a connection that never stood and for one that broke after the order had arrived.
"""

import logging
import re
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import NewConnectionError

from apps.domain.errors import Unavailable
from apps.domain.plugins import PluginError
from apps.trading.brokers.base import Access, BrokerBusy, BrokerRefused, BrokerUnclear
from apps.trading.brokers.http import Limits, asked_wait, limits_of, pace_of

MARKETS_LAST = 3600.0  # seconds a process remembers what an exchange lists
_WORDS = 300
_QUERY = re.compile(r"\?\S+")
_LIMITED = frozenset({418, 429})

T = TypeVar("T")


class _Listed(NamedTuple):
    markets: dict[str, Any]
    currencies: dict[str, Any]
    until: float  # by the monotonic clock


_listed: dict[tuple[str, str], _Listed] = {}
_listing = threading.Lock()


class Exchange:
    """One exchange as one key. What it raises is one of the three errors of a broker."""

    def __init__(self, access: Access) -> None:
        options = access.options or {}
        self._ccxt = library()
        self.name = str(options.get("exchange", ""))
        if self.name not in self._ccxt.exchanges:
            raise BrokerRefused(f"ccxt knows no exchange {self.name!r}: set the option exchange of the account")
        limits = limits_of(access)
        self._patience = limits.patience
        self._address = access.address
        self.api = self._made(access, limits)
        self._pace = pace_of(access.address or self.name, access.key, _paced(limits, self.api, options))

    def close(self) -> None:
        """Let go of the connections."""
        self.api.session.close()

    def has(self, method: str) -> bool:
        """Say whether the exchange can do something, by ccxt's name of it."""
        return bool(self.api.has.get(method))

    def read(self, question: Callable[[Any], T]) -> T:
        """Ask a question that changes nothing. Raises BrokerBusy and BrokerRefused; None is never a failure."""
        self._know_markets()
        return self._ask(question, changes=False)

    def change(self, request: Callable[[Any], T]) -> T:
        """Send what may change something. Raises the three errors."""
        self._know_markets()
        return self._ask(request, changes=True)

    def _made(self, access: Access, limits: Limits) -> Any:
        # Its debug lines hold the headers, and with them our key.
        logging.getLogger("ccxt.base.exchange").setLevel(logging.INFO)
        api: Any = getattr(self._ccxt, self.name)(
            {
                "enableRateLimit": False,  # the pace is kept per key, over all objects of this process
                "timeout": int(limits.read * 1000),
                "apiKey": access.key,
                "secret": access.secret,
                "password": access.passphrase,
                "options": {"defaultType": "spot", "warnOnFetchOpenOrdersWithoutSymbol": False},
            }
        )
        api.number = str
        api.enableLastHttpResponse = api.enableLastJsonResponse = True
        api.has["fetchCurrencies"] = False  # a question of its own that orders do not need
        api.options["fetchMargins"] = False
        kinds = api.options.get("fetchMarkets")
        if isinstance(kinds, dict) and "spot" in (kinds.get("types") or ()) and isinstance(kinds["types"], list):
            kinds["types"] = ["spot"]
        if access.address:
            api.urls["api"] = _moved(api.urls["api"], access.address.rstrip("/"))
            api.session.trust_env = False
        return api

    def _know_markets(self) -> None:
        """Load what the exchange lists, once an hour per process."""
        if self.api.markets:
            return
        key = (self.name, self._address)
        with _listing:
            known = _listed.get(key)
        if known is None or known.until < time.monotonic():
            self._ask(lambda api: api.load_markets(), changes=False)
            known = _Listed(self.api.markets, self.api.currencies, time.monotonic() + MARKETS_LAST)
            with _listing:
                _listed[key] = known
        else:
            self.api.set_markets(known.markets, known.currencies)

    def _ask(self, question: Callable[[Any], T], *, changes: bool) -> T:
        """Ask once, and once more when our clock was why the exchange said no: such a request did nothing."""
        failure = self._try(question, changes)
        if isinstance(failure, _WrongClock) and hasattr(self.api, "load_time_difference"):
            failure_of_clock = self._try(lambda api: api.load_time_difference(), changes=False)
            if isinstance(failure_of_clock, _Answer):
                failure = self._try(question, changes)
        if isinstance(failure, _Answer):
            answer: T = failure.value
            return answer
        raise failure

    def _try(self, question: Callable[[Any], Any], changes: bool) -> "_Answer | Unavailable":
        """Return the answer or our error: raised elsewhere, for ccxt's hangs on a request that carries our headers."""
        wait = self._pace.reserve(self._patience)
        if wait > self._patience:
            return BrokerBusy(f"the rate limit of {self.name} leaves no turn for {wait:.1f} s", after=wait)
        if wait:
            time.sleep(wait)
        self.api.last_http_response = self.api.last_json_response = None
        try:
            answer = question(self.api)
        except self._ccxt.BaseError as error:
            return self._said(error, changes)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            # What ccxt raises on an answer it did not foresee.
            return _unanswered(f"{self.name}: {type(error).__name__}: {shown(error)}", changes)
        # ccxt reads what is not JSON as an answer that says nothing.
        if self.api.last_json_response is None and (self.api.last_http_response or "").strip():
            return _unanswered(f"{self.name}: the answer is not JSON", changes)
        return _Answer(answer)

    def _said(self, error: Exception, changes: bool) -> Unavailable:
        ccxt, sentence = self._ccxt, f"{self.name}: {type(error).__name__}: {shown(error)}"
        status, after = _status_of(error)
        if isinstance(error, ccxt.RateLimitExceeded | ccxt.DDoSProtection) or status in _LIMITED:
            self._pace.pause(after)
            return BrokerBusy(sentence, after=after)
        if isinstance(error, ccxt.InvalidNonce):
            return _WrongClock(sentence)
        if status < 500 and isinstance(error, ccxt.OrderNotFound):
            return OrderMissing(sentence)
        if _is_final(ccxt, error, status):
            return BrokerRefused(sentence)
        return BrokerBusy(sentence) if _never_sent(error) else _unanswered(sentence, changes)


class OrderMissing(BrokerRefused):
    """The exchange has no such order."""


class _WrongClock(BrokerBusy):
    """The exchange did nothing because our time differs from its own."""


class _Answer(NamedTuple):
    value: Any


def library() -> Any:
    """Return ccxt. Raises PluginError where it is not installed."""
    try:
        return import_module("ccxt")
    except ImportError as error:
        raise PluginError(
            f"the ccxt broker needs ccxt, which is not installed ({error}): pip install -r requirements-exchanges.txt"
        ) from error


def shown(error: Exception) -> str:
    """Return what an error says, without queries: they carry a signature."""
    return " ".join(_QUERY.sub("?...", str(error)).split())[:_WORDS]


def _is_final(ccxt: Any, error: Exception, status: int) -> bool:
    """Say whether an error is the exchange's (or ccxt's own) no: certainly without effect, and again if repeated."""
    if status >= 500:
        return False
    said_no = (
        ccxt.AuthenticationError, ccxt.ArgumentsRequired, ccxt.BadRequest, ccxt.OperationRejected,
        ccxt.InsufficientFunds, ccxt.InvalidOrder, ccxt.NotSupported,
    )  # fmt: skip
    return isinstance(error, said_no) or (isinstance(error, ccxt.ExchangeError) and status >= 400)


def _status_of(error: Exception) -> tuple[int, float]:
    """Return the HTTP status that an error came with, 0 where there was none, and the wait that was asked for."""
    for inner in (error.__cause__, error.__context__):
        answer = getattr(inner, "response", None)
        if answer is not None:
            return int(answer.status_code), asked_wait(answer.headers)
    return 0, 1.0


def _never_sent(error: Exception) -> bool:
    """Say whether no byte can have reached the exchange: the connection never stood."""
    inner = error.__cause__ or error.__context__
    reason = getattr(inner.args[0], "reason", None) if inner is not None and inner.args else None
    return isinstance(inner, requests.ConnectTimeout) or isinstance(reason, NewConnectionError)


def _unanswered(sentence: str, changes: bool) -> Unavailable:
    return BrokerUnclear(sentence) if changes else BrokerBusy(sentence)


def _paced(limits: Limits, api: Any, options: Any) -> Limits:
    """Return the limits at the pace ccxt knows of the exchange, unless the account's options name one."""
    if "requests_per_second" in options or not api.rateLimit:
        return limits
    per_second = min(1000.0 / float(api.rateLimit), limits.per_second)
    return Limits(per_second=per_second, burst=max(per_second, 5.0), patience=limits.patience)


def _moved(urls: Any, base: str) -> Any:
    """Return ccxt's addresses, however nested, with another host in each and their own paths."""
    if isinstance(urls, dict):
        return {name: _moved(value, base) for name, value in urls.items()}
    return base + urlsplit(urls).path.rstrip("/") if isinstance(urls, str) else urls
