"""How does a service ask an instrument's venue? By the REST side of the feed that the instrument names."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from django.conf import settings

from apps.domain.errors import Unavailable
from apps.domain.plugins import PluginError
from apps.market.feeds import FEEDS
from apps.market.feeds.base import Feed, FeedState, Numbering, VenueRest
from apps.market.feeds.configuring import config_for, plugin_of


class VenueUnavailable(Unavailable):
    """The venue did not answer, or is not set up; what was fetched before is kept."""


class _Nobody:
    """Hears nothing: a feed that is only asked by REST never speaks."""

    def tick(self, tick: object) -> None:
        """Take no print."""

    def heard(self, symbol: str, received_ns: int) -> None:
        """Take no sign of life."""

    def gap(self, symbol: str, first_id: int, last_id: int) -> None:
        """Take no gap."""

    def blind(self, symbol: str, since_ns: int, until_ns: int) -> None:
        """Take no pause."""

    def state(self, state: FeedState) -> None:
        """Take no state."""

    def refused(self, symbol: str, reason: str) -> None:
        """Take no refusal."""


@contextmanager
def rest(feed: str) -> Iterator[VenueRest]:
    """Yield a client of a feed's REST side and close it. Raises VenueUnavailable for a feed that is not set up."""
    try:
        client = _feed(feed).rest()
    except PluginError as error:
        raise VenueUnavailable(str(error), permanent=True) from error
    try:
        yield client
    finally:
        client.close()


@cache
def counts_by_one(feed: str) -> bool:
    """Say whether a missing number means a missing trade at this feed's venue; no for a feed that is not set up."""
    try:
        return _feed(feed).numbering is Numbering.CONSECUTIVE
    except PluginError:
        return False


def _feed(feed: str) -> Feed:
    return FEEDS.get(plugin_of(feed))(config_for(FEEDS, feed, _settings(), products=()), _Nobody())


def _settings() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name.startswith("FEED_")}
    return {
        "FEED_COINBASE_WS_URL": settings.COINBASE_WS_URL,
        "FEED_COINBASE_REST_URL": settings.COINBASE_REST_URL,
        **own,
    }
