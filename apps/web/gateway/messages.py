"""What travels over the socket: how messages are read and written. docs/api.md describes them for clients."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from apps.domain.errors import Problem, Refused
from apps.web.gateway.place import LONGEST, Place

MAX_BYTES = 4096
Text = Annotated[str, msgspec.Meta(max_length=200)]
Spelled = Annotated[str, msgspec.Meta(max_length=LONGEST + 40)]
Secret = Annotated[str, msgspec.Meta(max_length=1500)]
EventId = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Inbound(msgspec.Struct):
    """A message of a client; fields it does not use are ignored."""

    type: Text
    channels: Annotated[list[Text], msgspec.Meta(max_length=200)] | None = None
    channel: Text | None = None
    since: EventId | Spelled | None = None
    token: Secret | None = None
    ticket: Text | None = None

    def stands(self) -> Place | None:
        """Return where the client stands, if it says so. Raises BadMessage."""
        if self.since is None:
            return None
        try:
            return Place.of(str(self.since))
        except ValueError as error:
            raise BadMessage(
                "malformed",
                field="since",
                value=str(self.since),
                rule=str(error),
                remedy="use the `resume` of a message you received, as it came",
            ) from None

    def named(self) -> list[str]:
        """Return the channels the message names, as a list or as one."""
        return [*(self.channels or []), *([self.channel] if self.channel is not None else [])]


class Quoted(msgspec.Struct):
    """A price as Redis publishes it and clients get it: decimals as text, the venue's instant in ISO 8601."""

    instrument: str
    price: str
    bid: str | None
    ask: str | None
    at: str
    trade_id: int


class Candled(msgspec.Struct, frozen=True):
    """A candle as clients get it, with the fields of `GET /api/v1/market/candles`."""

    at: str
    open: str
    high: str
    low: str
    close: str
    volume: str
    trades: int
    closed: bool


class BadMessage(Refused):
    """A message the gateway does not take; the socket stays open and the answer says what to do."""

    def __init__(self, code: str, *, field: str, value: str, rule: str, remedy: str) -> None:
        super().__init__(Problem(field=field, value=value[:80], rule=rule, remedy=remedy))
        self.code = code

    def text(self) -> str:
        """Return the answer to the client."""
        problem = self.problems[0]
        message = f"{problem.field}: {problem.value}: {problem.rule}"
        return write(type="error", code=self.code, message=message, remedy=problem.remedy)


_DECODER = msgspec.json.Decoder(Inbound)


def read(text: str | None) -> Inbound:
    """Return the message a text frame carries. Raises BadMessage; `None` stands for a binary frame."""
    if text is None:
        raise _malformed("binary frame", "messages are JSON in text frames")
    try:
        return _DECODER.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise _malformed(text, str(error) or "is not JSON") from None


def write(**fields: Any) -> str:
    """Return a message as JSON text."""
    return msgspec.json.encode(fields).decode()


def stamp(at: datetime) -> str:
    """Return an instant as ISO 8601 in UTC, as every message shows it."""
    return at.isoformat()


def _malformed(value: str, rule: str) -> BadMessage:
    remedy = 'send one JSON object like {"type": "subscribe", "channels": ["positions"]}'
    return BadMessage("malformed", field="message", value=value, rule=rule, remedy=remedy)
