"""Which bots take orders, and under which name each is polled: one poller for a token, however many channels use it."""

import hashlib
import logging

from apps.domain.plugins import PluginError
from apps.reporting.control.updates import Bot
from apps.reporting.models import Channel
from apps.reporting.services import keeping
from apps.trading.sealing import KeyUnusable

log = logging.getLogger(__name__)


def listed() -> list[Bot]:
    """Return the bots that take orders; of several channels with one token, the oldest."""
    found: dict[str, Bot] = {}
    rows = Channel.objects.filter(kind="telegram", enabled=True, options__control="yes").order_by("pk")
    for row in rows:
        try:
            given = keeping.everything(row)
        except (KeyUnusable, PluginError) as error:
            log.warning("the bot of %s takes no orders: %s", row.name, error)
            continue
        lease = f"telegram:{hashlib.sha256(given['token'].encode()).hexdigest()[:16]}"
        found.setdefault(lease, Bot(channel_id=row.pk, token=given["token"], address=given["address"], lease=lease))
    return list(found.values())
