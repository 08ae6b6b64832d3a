"""Where is the simulated exchange of this site, and with which key does one trade there? For demos and drills.

The exchange that `manage.py up` starts tells the keys of its accounts to whoever asks: it holds no money.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

import msgspec

from apps.market.feeds.dial import is_loopback
from apps.market.services import venues
from apps.trading.brokers.base import Access, BrokerRefused
from apps.trading.brokers.http import Line

MAIN: Final = "main"  # the account that is always there


class _Account(msgspec.Struct):
    name: str
    key: str
    secret: str
    pem: str


def address() -> str:
    """Return where the simulated exchange answers, as the feed of this process knows it. Raises BrokerRefused."""
    found = venues.feed_settings()["FEED_COINBASE_REST_URL"]
    if not is_loopback(urlsplit(found).hostname or ""):
        raise BrokerRefused(f"prices come from {found}: no simulated exchange runs here")
    return found


def access(place: str, account: str = MAIN) -> Access:
    """Return address, key and secret of an account of the simulated exchange at `place`, for signed requests.

    The secret is an EC key in PEM, `passphrase` the shared secret of dialects that want one. Raises BrokerRefused when
    there is no such account, BrokerBusy when nobody answers.
    """
    found = next((each for each in _accounts(place) if each.name == account), None)
    if found is None:
        raise BrokerRefused(f"the simulated exchange has no account {account!r}")
    return Access(address=place, key=found.key, secret=found.pem, passphrase=found.secret)


def shared_secret(signed: Access) -> Access:
    """Return the same access for a dialect that sends key and shared secret."""
    return replace(signed, secret=signed.passphrase, passphrase="")


def _accounts(place: str) -> list[_Account]:
    line = Line(place, "", _unsigned)
    try:
        found: list[_Account] = line.read("/_sim/accounts", kind=list[_Account])
    finally:
        line.close()
    return found


def _unsigned(method: str, target: str, body: bytes) -> Mapping[str, str]:
    return {}
