"""What is asked of a source that answers nothing? The same questions, and each gets the same typed refusal."""

from datetime import datetime

from apps.domain.ticks import Tick
from apps.market.feeds.base import VenueProduct
from apps.market.feeds.candles import VenueCandle
from apps.market.feeds.rest import FeedUnavailable


class NoRest:
    """The REST interface of a source that has none. Every method raises FeedUnavailable."""

    def __init__(self, source: str) -> None:
        self._source = source

    def close(self) -> None:
        """Let go of nothing."""

    def products(self) -> list[VenueProduct]:
        """Raise FeedUnavailable: nothing is listed."""
        raise FeedUnavailable(f"{self._source} does not list its products", permanent=True)

    def ticker(self, symbol: str) -> Tick:
        """Raise FeedUnavailable: nothing can be asked."""
        raise FeedUnavailable(f"{self._source} cannot be asked for {symbol}", permanent=True)

    def trades(self, symbol: str, first_id: int, last_id: int) -> list[Tick]:
        """Raise FeedUnavailable: nothing is kept."""
        raise FeedUnavailable(f"{self._source} keeps no trades of {symbol}", permanent=True)

    def candles(self, symbol: str, granularity: int, since: datetime, until: datetime) -> list[VenueCandle]:
        """Raise FeedUnavailable: there is no history."""
        raise FeedUnavailable(f"{self._source} has no candles of {symbol}", permanent=True)

    def time(self) -> datetime:
        """Raise FeedUnavailable: there is no clock."""
        raise FeedUnavailable(f"{self._source} has no clock", permanent=True)
