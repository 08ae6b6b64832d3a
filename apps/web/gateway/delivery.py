"""An event on its way to sockets: turned into JSON once per channel, however many sockets get it."""

import msgspec

from apps.web.gateway import messages
from apps.web.gateway.tail import Fact


class Delivery:
    """One event of the journal, and the number a client that has it may resume after."""

    __slots__ = ("_fact", "_resume", "_texts", "account_id", "id", "kind")

    def __init__(self, fact: Fact, *, resume: int) -> None:
        self.id, self.kind, self.account_id = fact.id, fact.kind, fact.account_id
        self._fact = fact
        self._resume = resume
        self._texts: dict[str, str] = {}

    def text(self, channel: str) -> str:
        """Return the message for a channel."""
        if channel not in self._texts:
            fact = self._fact
            self._texts[channel] = messages.write(
                type=fact.kind,
                channel=channel,
                event=fact.id,
                resume=min(self._resume, fact.id),
                timestamp=messages.stamp(fact.at),
                subject=fact.subject,
                data=msgspec.Raw(fact.payload.encode()),
            )
        return self._texts[channel]
