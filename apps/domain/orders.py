"""What an order is, and what a venue says of it: words and plain values shared by services and brokers."""

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from apps.domain.states import OrderStatus


class OrderKind(StrEnum):
    """How an order meets the market."""

    MARKET = "market"
    LIMIT = "limit"  # at `limit_price` or better
    STOP = "stop"  # becomes a market order once the price is at `stop_price` or beyond
    STOP_LIMIT = "stop_limit"  # becomes a limit order once the price is at `stop_price` or beyond


class TimeInForce(StrEnum):
    """How long an order works."""

    GTC = "gtc"  # until it is filled or cancelled
    GTD = "gtd"  # until `expires_at`
    DAY = "day"  # until the session ends
    IOC = "ioc"  # what can be filled at once; the rest is cancelled
    FOK = "fok"  # all at once or nothing


class Purpose(StrEnum):
    """What an order is for."""

    ENTRY = "entry"  # it opens a lot, or adds to the one it opened
    EXIT = "exit"  # it executes an Exit
    PROTECT = "protect"  # a stop kept at the venue while the site may be away


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """An order as it is handed to a broker; quantities in base units, prices in quote currency."""

    client_id: str
    symbol: str  # the venue's own name of the instrument
    buy: bool
    kind: OrderKind
    quantity: Decimal
    tif: TimeInForce
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    expires_at: datetime | None = None
    reduce_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One fill as a venue reports it; `id` is unique within an account at the venue."""

    id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal  # in `fee_asset`; negative is a rebate
    fee_asset: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a venue says of one order. `executions` may repeat or lack some; `filled` is the venue's own sum."""

    client_id: str
    venue_id: str
    status: OrderStatus
    filled: Decimal
    executions: tuple[Execution, ...] = ()
    at: datetime | None = None  # by the venue's clock
    reason: str = ""
    symbol: str = ""
    buy: bool | None = None
    quantity: Decimal | None = None
    kind: OrderKind | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None


_MARK_LENGTH = 5
_LETTERS = {Purpose.ENTRY: "e", Purpose.EXIT: "x", Purpose.PROTECT: "p"}


def client_id(purpose: Purpose, of: int, attempt: int, *, account_id: int, opened_at: datetime) -> str:
    """Return the name an order has at its venue, a pure function of what it is for: `k3f9ax17t2`.

    `of` is the decision of an entry, the exit of an exit, the position of a protective stop. The first five characters
    stand for the account and the instant it was opened here: a second site, or one that was set up anew and counts from
    1 again, must not find another's old order under its own name. Small letters and digits only, at most 18 characters
    while `of` has at most 9 digits and `attempt` at most 2: the shortest that a venue we know of allows is 18.
    """
    if of < 1 or attempt < 1:
        raise ValueError(f"an order is for something that is stored and has an attempt, not {of} and {attempt}")
    return f"{_mark(account_id, opened_at)}{_LETTERS[purpose]}{of}t{attempt}"


def _mark(account_id: int, opened_at: datetime) -> str:
    told = f"{account_id} {opened_at.astimezone(UTC).isoformat(timespec='microseconds')}"
    digest = hashlib.sha256(told.encode()).digest()
    return base64.b32encode(digest)[:_MARK_LENGTH].decode().lower()
