"""A web address of one's own: signed, stamped with the time, and named so that a repeat can be told."""

import hashlib
import hmac
import time
from collections.abc import Iterable

from apps.domain.errors import Problem
from apps.reporting.channels import addresses, web
from apps.reporting.channels.base import Channel, Message, Setting, Settings


class Webhook(Channel):
    """POSTs JSON. `X-Signature: t=<unix seconds>,v1=<hex>` is HMAC-SHA256 of `<t>.<body>` with the secret."""

    name = "webhook"
    settings = (
        Setting(name="url", help="https://host/path", secret=True, longest=500),
        Setting(name="secret", help="At least 16 characters; the receiver checks the signature with it.", secret=True),
    )
    keyed = True

    @classmethod
    def problems(cls, given: Settings) -> Iterable[Problem]:
        """Say what is wrong with the address or the secret."""
        if problem := addresses.url_problem("url", given.get("url", "")):
            yield problem
        if len(given.get("secret", "")) < 16:
            yield Problem(field="secret", value="", rule="is shorter than 16 characters", remedy="use a random one")

    def send(self, message: Message) -> str:
        """Send the message with its signature; its key is in `X-Delivery` and in the body."""
        body = web.packed(
            {
                "id": message.key,
                "kind": message.kind,
                "severity": message.severity,
                "subject": message.subject,
                "account": message.account_id,
                "at": message.at.isoformat(),
                "title": message.title,
                "body": message.body,
            }
        )
        stamp = str(int(time.time()))  # noqa: TID251 - the receiver compares it with its own clock
        headers = {"X-Delivery": message.key, "X-Signature": f"t={stamp},v1={sign(self.given['secret'], stamp, body)}"}
        return f"HTTP {web.post(self.given['url'], body, headers).status}"


def sign(secret: str, stamp: str, body: bytes) -> str:
    """Return what the receiver has to compute as well, in constant time compared."""
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
