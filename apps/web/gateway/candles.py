"""The candles of the present and the last minute, once a second, for instruments that somebody watches."""

import logging
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from apps.domain import numbers
from apps.market.models import Instrument
from apps.market.selectors import market_store
from apps.market.store import StoreUnavailable, Timeframe, buckets
from apps.market.store.timeframes import floor
from apps.web.gateway import messages, topics
from apps.web.gateway.messages import Candled

WIDTH = Timeframe.MINUTE.width
log = logging.getLogger(__name__)


class Message(NamedTuple):
    """A candle as it is sent: the channel, a name that a newer one of the same minute replaces, and the text."""

    channel: str
    name: str
    text: str


class Candles:
    """What was last seen of each instrument that is watched. `changed` belongs to the event loop."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Candled, ...]] = {}

    def changed(self, found: Mapping[str, tuple[Candled, ...]]) -> list[Message]:
        """Take a look's answer in and return the candles that are new or different."""
        before, self._seen = self._seen, dict(found)
        return [
            _message(symbol, candle)
            for symbol, candles in found.items()
            for candle in candles
            if candle not in before.get(symbol, ())
        ]

    def present(self, symbol: str) -> Iterable[Message]:
        """Return what is known of an instrument now; nothing until the first look."""
        return [_message(symbol, candle) for candle in self._seen.get(symbol, ())]


def look(symbols: Collection[str], now: datetime) -> dict[str, tuple[Candled, ...]]:
    """Return by symbol the candles of the last and the present minute, made of ticks; none while the store is away."""
    ids = dict(Instrument.objects.filter(symbol__in=symbols).values_list("pk", "symbol"))
    since = floor(now, WIDTH) - WIDTH
    try:
        with market_store().transaction() as connection:
            rows = connection.execute(buckets.of_ticks(list(ids), WIDTH, since, since + 3 * WIDTH)).all()
    except StoreUnavailable as error:
        log.warning("Candles cannot be read: %s", error)
        return {}
    found: dict[str, tuple[Candled, ...]] = dict.fromkeys(ids.values(), ())
    for row in rows:
        found[ids[row[0]]] += (_candle(row, now),)
    return found


def _candle(row: Any, now: datetime) -> Candled:
    _, at, opened, high, low, close, volume, trades = row
    return Candled(
        at=messages.stamp(at),
        open=numbers.plain(opened),
        high=numbers.plain(high),
        low=numbers.plain(low),
        close=numbers.plain(close),
        volume=numbers.plain(volume),
        trades=int(trades),
        closed=at + WIDTH <= now,
    )


def _message(symbol: str, candle: Candled) -> Message:
    channel = topics.candles_of(symbol)
    text = messages.write(type="candle", channel=channel, data=candle)
    return Message(channel, f"{channel} {candle.at}", text)
