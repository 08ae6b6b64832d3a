"""What an order is, and what a venue says of it: words and plain values shared by services and brokers."""

from dataclasses import dataclass
from datetime import datetime
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
