"""How are prices received from a source that only answers questions? By asking it, as its options describe.

The options name where in the JSON answer each value stands, as names and positions joined by points:
`url=https://host/ticker/{symbol}`, `price=data.0.last`.
"""

import time
from collections.abc import Mapping, Sequence
from typing import ClassVar
from urllib.parse import quote, urlsplit

import msgspec

from apps.domain import feed_rules
from apps.domain.plugins import PluginError
from apps.domain.ticks import Tick
from apps.market.feeds import fetched
from apps.market.feeds.base import FeedConfig, FeedSink, Numbering, VenueRest
from apps.market.feeds.exact import iso_of_number, plain
from apps.market.feeds.gated import Trade
from apps.market.feeds.no_rest import NoRest
from apps.market.feeds.polling import Garbled, PollingFeed
from apps.market.feeds.rest import FeedUnavailable, RestClient, RestTimings

_decode = msgspec.json.Decoder(float_hook=str).decode  # a number with a point stays the text it was
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class RestPoller(PollingFeed):
    """The last price of each product, asked for again and again at an address of the operator's choice."""

    name = "rest"
    title = "any REST source"
    options: ClassVar[Mapping[str, str]] = {
        "url": "Path below the address, or a whole address; {symbol} stands for the product.",
        "price": "Where the price stands in the answer, like data.0.last.",
        "bid": "Where the best bid stands; left out, there is none.",
        "ask": "Where the best ask stands.",
        "size": "Where the size of the last trade stands.",
        "time": "Where its time stands: ISO 8601 with an offset, or a number of s, ms, us or ns since 1970.",
        "trade_id": "Where its number stands.",
        "header": "Name of the header that carries the key.",
    }

    def __init__(self, config: FeedConfig, sink: FeedSink) -> None:
        if config.options.get("trade_id"):
            self.numbering = Numbering.IDENTITY  # type: ignore[misc]  # of this feed, not of its class
        self._question = Question(config)
        super().__init__(config, sink)

    def ask(self, symbol: str) -> Sequence[Trade]:
        """Return the last print of one product. Raises FeedUnavailable and Garbled."""
        return (self._question.put(symbol),)

    def let_go(self) -> None:
        """Close the connections."""
        self._question.close()

    def rest(self) -> VenueRest:
        """Return a client that knows last prices only; the caller closes it."""
        return LastPrices(self.config)


class Question:
    """One question and how its answer is read."""

    def __init__(self, config: FeedConfig) -> None:
        self._options = config.options
        base, self._path = _split(config.rest_url, config.options.get("url", "/{symbol}"))
        limit = config.timings.kill_after
        header = config.options.get("header", "")
        self._client = RestClient(
            base,
            # One attempt: the next round is the repeat.
            RestTimings(connect_timeout=min(3.0, limit), read_timeout=limit, deadline=limit, attempts=1),
            {header: config.key} if header and config.key else None,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def put(self, symbol: str) -> Trade:
        """Ask for one product. Raises FeedUnavailable, and Garbled for an answer without a price."""
        path, _, query = self._path.replace("{symbol}", quote(symbol, safe="")).partition("?")
        body = self._client.get(f"{path}?{query}" if query else path)
        try:
            answer = _decode(body)
        except _UNREADABLE as error:
            raise Garbled(str(error)[:120], body) from error
        price = self._text(answer, "price")
        if not price:
            raise Garbled(f"no price at {self._options.get('price', 'price')!r}", body)
        number = self._text(answer, "trade_id") if self._options.get("trade_id") else ""
        return Trade(
            symbol=symbol,
            price=price,
            trade_id=int(number) if number.isascii() and number.isdigit() and len(number) < 19 else 0,
            size=self._text(answer, "size") or "0",
            bid=self._text(answer, "bid"),
            ask=self._text(answer, "ask"),
            venue_time=_time(self._text(answer, "time")),
        )

    def _text(self, answer: object, name: str) -> str:
        path = self._options.get(name, "price" if name == "price" else "")
        found = _at(answer, path) if path else None
        if isinstance(found, bool) or not isinstance(found, str | int):
            return ""
        text = str(found)
        return text if name == "time" else plain(text) if "e" in text.lower() else text


class LastPrices(NoRest):
    """A REST interface where only the last price can be asked for."""

    def __init__(self, config: FeedConfig) -> None:
        super().__init__("this source")
        self._question = Question(config)

    def close(self) -> None:
        """Let go of the connections."""
        self._question.close()

    def ticker(self, symbol: str) -> Tick:
        """Return the last price of a product, marked as refilled. Raises FeedUnavailable."""
        try:
            found = self._question.put(symbol)
        except Garbled as fault:
            raise FeedUnavailable(f"{symbol}: {fault}", permanent=False) from fault
        tick = fetched.tick(
            symbol=symbol,
            price=found.price,
            trade_id=found.trade_id,
            size=found.size,
            venue_time=found.venue_time,
            received_ns=time.time_ns(),
        )
        if tick is None:
            raise FeedUnavailable(f"the price of {symbol} cannot be believed: {found.price[:40]!r}", permanent=False)
        return fetched.with_quote(tick, found.bid, found.ask)


def _split(rest_url: str, url: str) -> tuple[str, str]:
    """Return the base address and the path with its query. Raises PluginError when there is no address."""
    if url.startswith(("http://", "https://")):
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc}", url[len(f"{parts.scheme}://{parts.netloc}") :] or "/"
    if not rest_url.startswith(("http://", "https://")):
        raise PluginError("the rest feed needs an address: set its rest_url, or a whole address as its option url")
    return rest_url, f"/{url.lstrip('/')}"


def _at(answer: object, path: str) -> object:
    for step in path.split("."):
        if isinstance(answer, dict):
            answer = answer.get(step)
        elif isinstance(answer, list) and step.isdigit() and int(step) < len(answer):
            answer = answer[int(step)]
        else:
            return None
    return answer


def _time(text: str) -> str:
    if not text:
        return ""
    return text if feed_rules.instant_ns(text) is not None else iso_of_number(text)
