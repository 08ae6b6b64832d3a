"""What the exchange keeps of orders: the orders, their fills, and where to find them again."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from apps.domain.orders import OrderKind, TimeInForce


class Stage(StrEnum):
    """Where an order stands at the exchange."""

    PENDING = "pending"  # accepted, not matched yet
    OPEN = "open"
    CANCEL_QUEUED = "cancel_queued"  # its cancel was confirmed, yet it may still fill
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


KEPT = 20_000  # orders that are remembered after their end; the oldest are forgotten first
LIVE = frozenset({Stage.PENDING, Stage.OPEN, Stage.CANCEL_QUEUED})


class Rejection(Exception):
    """The exchange says no; `code` is one of a few words that each dialect translates, `text` is for people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An order as a client asks for it: base units in `quantity`, or quote units to spend in `funds`."""

    client_id: str
    product_id: str
    buy: bool
    kind: OrderKind
    tif: TimeInForce
    quantity: Decimal | None = None
    funds: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    stop_up: bool | None = None  # triggers when the price rises to it; by default up for buys, down for sells
    expires_us: int | None = None
    post_only: bool = False
    tags: dict[str, str] = field(default_factory=dict)  # whatever a dialect wants to see again


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution. `id` is unique at the exchange, `at_us` without the clock fault."""

    id: str
    order_id: str
    trade_id: int  # the last trade of the product when it happened
    product_id: str
    buy: bool
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    at_us: int


@dataclass(slots=True, kw_only=True)
class Order:
    """One order; instants in microseconds without the clock fault."""

    id: str
    serial: int
    account: str
    client_id: str
    product_id: str
    buy: bool
    kind: OrderKind
    tif: TimeInForce
    quantity: Decimal
    funds: Decimal | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    stop_up: bool
    expires_us: int | None
    post_only: bool
    tags: dict[str, str]
    created_us: int
    changed_us: int
    stage: Stage = Stage.PENDING
    filled: Decimal = Decimal(0)
    value: Decimal = Decimal(0)  # sum of price times quantity
    fees: Decimal = Decimal(0)  # in quote units
    triggered: bool = False  # a stop that became active
    fills: list[Fill] = field(default_factory=list)
    why: str = ""
    # What the faults do to it
    share: Decimal | None = None  # of its quantity that is filled at one match
    stays: bool = False  # its rest stays open although it should be cancelled
    acts_us: int | None = None  # nothing happens to it before
    late_share: Decimal | None = None  # of its rest that is filled although its cancel was confirmed
    hidden_until_us: int = 0  # nobody finds it before

    @property
    def is_live(self) -> bool:
        """Whether anything may still happen to it."""
        return self.stage in LIVE or self.late_share is not None

    @property
    def rest(self) -> Decimal:
        """What is not filled, base units."""
        return self.quantity - self.filled

    @property
    def average(self) -> Decimal:
        """The average price of its fills, 0 without any."""
        return self.value / self.filled if self.filled else Decimal(0)


class Book:
    """All orders by id, by client id and, while something may happen to them, by product."""

    def __init__(self) -> None:
        self.live: dict[str, dict[str, Order]] = {}
        self.serial = 0  # of the newest order
        self._by_id: dict[str, Order] = {}
        self._by_client: dict[tuple[str, str], Order] = {}

    def __iter__(self) -> Iterator[Order]:
        """Every order, oldest first."""
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def keep(self, order: Order) -> None:
        """Take an order in, or note that it changed."""
        self._by_id[order.id] = order
        self.serial = max(self.serial, order.serial)
        if len(self._by_id) > 2 * KEPT:
            self._forget()
        if order.client_id:
            first = self._by_client.setdefault((order.account, order.client_id), order)
            if first.id == order.id:
                self._by_client[(order.account, order.client_id)] = order  # read again from the file
        if order.is_live:
            self.live.setdefault(order.product_id, {})[order.id] = order
        elif order.product_id in self.live:
            self.live[order.product_id].pop(order.id, None)
            if not self.live[order.product_id]:
                del self.live[order.product_id]

    def _forget(self) -> None:
        """Drop the oldest half of what has ended."""
        for order in [order for order in self._by_id.values() if not order.is_live][:KEPT]:
            del self._by_id[order.id]
            self._by_client.pop((order.account, order.client_id), None)

    def by_id(self, order_id: str) -> Order | None:
        return self._by_id.get(order_id)

    def by_client(self, account: str, client_id: str) -> Order | None:
        return self._by_client.get((account, client_id))

    def of(self, account: str) -> list[Order]:
        """The orders of one account, newest first."""
        return [order for order in reversed(self._by_id.values()) if order.account == account]

    def working(self) -> list[Order]:
        """Every order to which something may still happen."""
        return [order for orders in list(self.live.values()) for order in list(orders.values())]
