"""Other services, through the apprise library: those that are reached at one well-known address, and no others.

Most of the library's 170 services let the address name any host, a file or a program. Only services with a fixed host
are let through, by a list, and nothing is ever attached.
"""

import logging
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from apps.domain.errors import Problem
from apps.reporting.channels import addresses
from apps.reporting.channels.base import Channel, Message, Setting, Settings, Undeliverable

# scheme -> the host that the library's plug-in sends to
FIXED: Final = {
    "gchat": "chat.googleapis.com",
    "line": "api.line.me",
    "ntfy": "ntfy.sh",
    "pbul": "api.pushbullet.com",
    "pover": "api.pushover.net",
    "wxteams": "api.ciscospark.com",
}


class Others(Channel):
    """Hands the message to apprise. It says whether it arrived, and not why not: every failure is tried again."""

    name = "apprise"
    settings = (Setting(name="url", help=f"An address of apprise: {', '.join(FIXED)}.", secret=True, longest=500),)

    @classmethod
    def problems(cls, given: Settings) -> Iterable[Problem]:
        """Say whether the address is of a service that is let through."""
        remedy = f"use one of {', '.join(f'{scheme}://' for scheme in sorted(FIXED))} without a question mark"
        scheme, separator, _ = given.get("url", "").partition("://")
        if not separator or scheme not in FIXED:
            yield Problem(field="url", value="the scheme", rule="is not let through", remedy=remedy)
        elif set(given["url"]) & set("?#"):
            yield Problem(field="url", value="the address", rule="has options", remedy=remedy)
        elif _made(given["url"]) is None:
            yield Problem(field="url", value="the address", rule="is not understood by apprise", remedy=remedy)

    def send(self, message: Message) -> str:
        """Send the message."""
        service = _made(self.given["url"])
        if service is None:
            raise Undeliverable("apprise does not understand the address.", permanent=True)
        if not service.notify(body=message.body or message.title, title=message.title):
            raise Undeliverable("apprise says that it did not arrive, and not why.", unclear=True)
        return ""


def _made(url: str) -> Any:
    """Return the library's service for an address; None unless it sends to the host that the list names."""
    import apprise  # here: it takes 0.3 s and 20 MB, and few sites use it

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its warnings repeat addresses
    scheme = url.partition("://")[0]
    if scheme not in FIXED:
        return None
    service: Any = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if service is None or (scheme == "ntfy" and service.mode != "cloud"):
        return None
    sends_to = str(getattr(service, "cloud_notify_url", None) or getattr(service, "notify_url", ""))
    return service if urlsplit(sends_to).hostname == FIXED[scheme] or _is_allowed(sends_to) else None


def _is_allowed(url: str) -> bool:
    """Say whether the operator let the host through that a library was pointed to."""
    return addresses.url_problem("url", url) is None and urlsplit(url).scheme == "http"
