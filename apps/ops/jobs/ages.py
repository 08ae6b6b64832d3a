"""What grows old without anybody noticing: keys of brokers, API tokens, and the certificate that visitors see."""

import socket
import ssl
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from django.db.models import Q

from apps.access.models import ApiToken
from apps.journal import services as journal
from apps.journal.models import Event
from apps.trading.models import Credential

KEY_AGE: Final = timedelta(days=180)  # a broker key should be replaced by then
TOKEN_AGE: Final = timedelta(days=365)  # of a token that never expires
SOON: Final = timedelta(days=14)  # a token that expires within this is worth a word
CERTIFICATE_SOON: Final = timedelta(days=21)  # renewals begin 30 days before the end
PATIENCE: Final = 5.0  # seconds for one address
_RENEWED: Final = ("credential.stored", "credential.replaced")


def look(now: datetime, origins: Iterable[str]) -> list[str]:
    """Return a sentence for each thing that is too old or ends soon, and write them down as one event.

    `origins` are addresses like https://trading.example.com; those without TLS are left out.
    """
    found = [*_broker_keys(now), *_tokens(now), *_certificates(now, origins)]
    if found:
        journal.record("site.keys_aged", "site:keys", payload={"found": found, "sentence": "\n".join(found)})
    return found


def _broker_keys(now: datetime) -> Iterator[str]:
    for row in Credential.objects.defer("sealed").order_by("pk"):
        renewed = Event.objects.filter(subject=f"credential:{row.pk}", kind__in=_RENEWED).order_by("-id").first()
        age = now - (renewed.at if renewed else row.created_at)
        if age > KEY_AGE:
            yield f"the broker key {row.name} is {age.days} days old: make another at {row.broker} and replace it"


def _tokens(now: datetime) -> Iterator[str]:
    alive = ApiToken.objects.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now), revoked_at__isnull=True)
    for row in alive.select_related("user").order_by("pk"):
        whose = f"the API token {row.prefix} of {row.user.get_username()}"
        if row.expires_at is not None and row.expires_at - now < SOON:
            yield f"{whose} ends on {row.expires_at:%Y-%m-%d}"
        elif row.expires_at is None and now - row.created_at > TOKEN_AGE:
            yield f"{whose} is {(now - row.created_at).days} days old and never ends: make another and revoke it"


def _certificates(now: datetime, origins: Iterable[str]) -> Iterator[str]:
    for origin in origins:
        address = urlsplit(origin)
        if address.scheme == "https" and address.hostname and "*" not in address.hostname:
            yield from _certificate(now, address.hostname, address.port or 443)


def _certificate(now: datetime, host: str, port: int) -> Iterator[str]:
    context = ssl.create_default_context()
    try:
        with (
            socket.create_connection((host, port), timeout=PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=host) as link,
        ):
            shown = link.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        yield f"the certificate of {host} is not accepted: {error.verify_message}"
    except OSError as error:
        yield f"the certificate of {host} could not be looked at: {error}"
    else:
        ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
        if ends - now < CERTIFICATE_SOON:
            yield f"the certificate of {host} ends on {ends:%Y-%m-%d}: see why it was not renewed"
