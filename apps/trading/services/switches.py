"""May an order move real money? Only with two switches: the site's, and the account's own.

They differ in what they stop. Without the site's nothing at all is sent to a real venue: a restored copy of a site must
never sell what the original holds. The account's own stops entries alone: what is held is still left by its stops.
"""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings

from apps.domain.errors import Problem, Refused
from apps.domain.plugins import PluginError
from apps.trading.brokers import registry
from apps.trading.models import Account

PAPER: Final = "paper"
SITE_IS_OFF: Final = "may not trade real money: the site's switch is off, nothing is sent to its venue, exits neither"


class Silenced(Refused):
    """The site's switch is off: nothing is asked of a venue that moves real money, whatever it is for."""


def live_allowed(account: Account, *, leaving: bool) -> None:
    """Raise Refused unless an order of this account may be sent: paper, a sandbox, or both switches for real money.

    What leaves a position (`leaving`) needs the site's switch only; without that one Silenced is raised.
    """
    if not is_real(account):
        return
    if not settings.LIVE_TRADING:
        raise silence(account)
    if not account.live and not leaving:
        rule = "may not enter with real money: its own switch is off"
        raise Refused(_problem(account, rule, "use 'Go live' on the account's page"))


def silence(account: Account) -> Silenced:
    """Return what says that the site's switch is off."""
    return Silenced(_problem(account, SITE_IS_OFF, "set LIVE_TRADING=1 and start the site anew"))


def is_silenced(account: Account) -> bool:
    """Say whether nothing may be asked of an account's venue but how things stand there."""
    return not settings.LIVE_TRADING and is_real(account)


def is_real(account: Account) -> bool:
    """Say whether orders of this account would move real money."""
    if account.broker == PAPER:
        return False
    return not is_sandbox(account.broker, account.credential.address if account.credential else "")


def is_sandbox(broker: str, address: str) -> bool:
    """Say whether an address is this machine, or one that the broker names among its `sandboxes`."""
    try:
        sandboxes = registry.get(broker).sandboxes
    except PluginError:
        sandboxes = ()
    return is_loopback(address) or address.rstrip("/") in {each.rstrip("/") for each in sandboxes if each}


def is_loopback(address: str) -> bool:
    """Say whether an address is on this machine for certain: by number, or by its one fixed name."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _problem(account: Account, rule: str, remedy: str) -> Problem:
    return Problem(field="live", value=account.name, rule=rule, remedy=remedy)
