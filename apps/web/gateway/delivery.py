"""An event on its way to sockets: turned into JSON once per channel, however many sockets get it."""

import msgspec

from apps.web.gateway import messages, topics
from apps.web.gateway.place import Place
from apps.web.gateway.tail import Fact


class Delivery:
    """One event of the journal, the fills it is about, and the place of a client that has it."""

    __slots__ = ("_fills", "_texts", "account_id", "channels", "fact", "id", "kind", "subject")

    def __init__(self, fact: Fact, fills: str | None = None) -> None:
        self.fact = fact
        self.id, self.kind, self.account_id, self.subject = fact.id, fact.kind, fact.account_id, fact.subject
        self.channels = topics.of(fact.kind, fact.account_id is not None)
        self._fills = fills
        self._texts: dict[str, str] = {}

    def text(self, channel: str) -> str:
        """Return the message for a channel."""
        if channel not in self._texts:
            self._texts[channel] = self.text_at(channel, self.fact.after)
        return self._texts[channel]

    def text_at(self, channel: str, place: Place) -> str:
        """Return the message for a client that is at another place once it has this event."""
        fact = self.fact
        return messages.write(
            type=fact.kind,
            channel=channel,
            event=fact.id,
            resume=place.text(),
            timestamp=messages.stamp(fact.at),
            subject=fact.subject,
            data=msgspec.Raw(self._payload(channel).encode()),
        )

    def _payload(self, channel: str) -> str:
        if channel != topics.FILLS:
            return self.fact.payload
        told = self.fact.payload.rstrip()[:-1]  # jsonb as text is one object on one line
        return f'{told}{"" if told.endswith("{") else ", "}"fills": {self._fills or "[]"}}}'
