"""How does a service ask an instrument's venue? By the REST side of the feed that the instrument names."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psutil
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


def feed_settings() -> dict[str, str]:
    """Return every FEED_ setting; those of the first feed have names of their own.

    A command beside a running demo means the demo's venue, whose address only the demo knows.
    """
    own = {name: value for name, value in os.environ.items() if name.startswith("FEED_")}
    ws_url, rest_url = settings.COINBASE_WS_URL, settings.COINBASE_REST_URL
    if settings.SIMULATE and (place := _simulated()):
        ws_url, rest_url = f"ws://{place}", f"http://{place}"
    return {"FEED_COINBASE_WS_URL": ws_url, "FEED_COINBASE_REST_URL": rest_url, **own}


def _simulated() -> str:
    """Return host and port of the simulated exchange that `manage.py up` runs here, "" when it does not."""
    try:
        told = json.loads((Path(settings.VAR) / "up.lock").read_text())
        return str(told["venue"]) if psutil.pid_exists(told["pid"]) else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _feed(feed: str) -> Feed:
    return FEEDS.get(plugin_of(feed))(config_for(FEEDS, feed, feed_settings(), products=()), _Nobody())
