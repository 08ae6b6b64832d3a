"""The states an order can be in when something dies: how each comes about, and how each must end."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NamedTuple

from apps.domain.errors import Refused
from apps.domain.legs import ExitReason, Leg
from apps.domain.orders import OrderKind
from apps.trading.models import Order, Position
from apps.trading.services import entering, exits, ordering
from apps.trading.services.positions import NoQuote
from tests import factories
from tests.factories import stop
from tests.faults.orders.rig import Rig, patient
from tests.flow.worlds import eventually

OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "accepted": {},
    "partly": {},
    "leaving": {},
    "protected": {"protect": True},
    "cancelling": {},
    "new": {},
    "unknown": {},
    "submitting": {"read_timeout": 8.0},
}


class State(NamedTuple):
    """One state of an order: how to bring it about, what it looks like, what moves on while all is down, its end."""

    reach: Callable[[Rig, str], Order]
    status: str  # of the order, once it is there
    ends: Callable[[Rig, str, Order], bool]
    move: Callable[[Rig, str], None] = lambda rig, name: None


# --- how they come about ----------------------------------------------------------------------------------------------
def enter(rig: Rig, name: str, *legs: Leg, **how: Any) -> Order:
    """Wish to enter, as often as the price is not fresh or the account not compared with its venue."""
    wish = factories.wish(
        rig.accounts[name], rig.instruments[name], *(legs or (stop("70"),)), quantity=how.pop("quantity", "1")
    )

    why: list[str] = []

    def once() -> Order | None:
        try:
            return entering.enter(entering.Entry(opening=wish, **how), now=factories.now()).order
        except (Refused, NoQuote) as error:
            why[:] = [str(error)]
            return None

    order = eventually(patient(once), 20, lambda: str(why))
    assert isinstance(order, Order)
    return order


def has(order: Order, status: str) -> Order:
    """Wait until an order has a status and return it."""
    eventually(lambda: factories.fresh(order).status == status, 15, lambda: f"{factories.fresh(order).status}")
    return order


def lot(rig: Rig, name: str, *legs: Leg) -> Position:
    order = has(enter(rig, name, *legs), "filled")
    position = factories.fresh(order).position
    assert position is not None
    return position  # type: ignore[no-any-return] # a row of any model


def accepted(rig: Rig, name: str) -> Order:
    return has(enter(rig, name, kind=OrderKind.LIMIT, limit_price=Decimal(80)), "accepted")


def partly(rig: Rig, name: str) -> Order:
    rig.venue.fault("order_partial:percent=50,stays=1")
    rig.market.still.add(rig.symbols[name])
    return has(enter(rig, name, quantity="2", kind=OrderKind.LIMIT, limit_price=Decimal(101)), "partially_filled")


def leaving(rig: Rig, name: str) -> Order:
    position = lot(rig, name)
    rig.venue.fault("order_partial:percent=50,stays=1")
    rig.market.still.add(rig.symbols[name])
    exits.request_exit(position_id=position.pk, reason=ExitReason.API, source="test", now=factories.now())
    eventually(lambda: position.orders.filter(purpose="exit").exists())
    return has(position.orders.get(purpose="exit"), "partially_filled")


def protected(rig: Rig, name: str) -> Order:
    position = lot(rig, name, stop("95"))
    eventually(lambda: position.orders.filter(purpose="protect").exists())
    return has(position.orders.get(purpose="protect"), "accepted")


def cancelling(rig: Rig, name: str) -> Order:
    order = has(enter(rig, name, kind=OrderKind.LIMIT, limit_price=Decimal(80)), "accepted")
    rig.venue.fault("order_late_fill:percent=40,seconds=9")
    ordering.cancel(order.pk, now=factories.now())
    return has(order, "cancelling")


def new(rig: Rig, name: str) -> Order:
    rig.venue.fault("order_limit:retry_after=6,call=place")
    order = enter(rig, name)
    eventually(lambda: factories.fresh(order).look_at is not None and factories.fresh(order).status == "new")
    return order


def unknown(rig: Rig, name: str) -> Order:
    rig.venue.fault("order_lost:seconds=5")
    rig.venue.fault("order_timeout:after=1,count=1,call=place")
    return has(enter(rig, name), "unknown")


def submitting(rig: Rig, name: str) -> Order:
    rig.venue.fault("order_slow:seconds=4,call=place")
    order = enter(rig, name)
    eventually(lambda: [one for one in rig.venue.orders(name) if one["client_id"] == order.client_id])
    return has(order, "submitting")


# --- what goes on at the venue meanwhile ------------------------------------------------------------------------------
def trades_again(rig: Rig, name: str) -> None:
    rig.market.still.discard(rig.symbols[name])


def falls(rig: Rig, name: str) -> None:
    """Let the price fall through the stop that is here and at the venue."""
    rig.market.prices[rig.symbols[name]] = "94.00"


# --- how they end -----------------------------------------------------------------------------------------------------
def is_filled(rig: Rig, name: str, order: Order) -> bool:
    row = factories.fresh(order)
    return row.status == "filled" and row.position.remaining == row.quantity == rig.net(name)


def still_works(rig: Rig, name: str, order: Order) -> bool:
    return factories.fresh(order).status == "accepted" and _stages(rig, name) == ["open"]


def is_cancelled(rig: Rig, name: str, order: Order) -> bool:
    row = factories.fresh(order)
    return row.status == "cancelled" and row.filled == rig.net(name) == Decimal("0.4")


def has_left(rig: Rig, name: str, order: Order) -> bool:
    """Say whether the lot was left, by one sale in all."""
    sold = sum(Decimal(one["filled"]) for one in rig.venue.orders(name) if one["side"] == "sell")
    if sold > _bought(rig, name):
        raise AssertionError(f"{name}: {sold} were sold")
    return factories.fresh(order).position.status == "closed" and rig.net(name) == 0


def _bought(rig: Rig, name: str) -> Decimal:
    return sum((Decimal(one["filled"]) for one in rig.venue.orders(name) if one["side"] == "buy"), Decimal(0))


def _stages(rig: Rig, name: str) -> list[str]:
    return [one["stage"] for one in rig.venue.orders(name) if one["stage"] not in ("filled", "cancelled", "expired")]


# Those that hold for long come first; the last is there for four seconds.
STATES: Final = {
    "accepted": State(accepted, "accepted", still_works),
    "partly": State(partly, "partially_filled", is_filled, trades_again),
    "leaving": State(leaving, "partially_filled", has_left, trades_again),
    "protected": State(protected, "accepted", has_left, falls),
    "cancelling": State(cancelling, "cancelling", is_cancelled),
    "new": State(new, "new", is_filled),
    "unknown": State(unknown, "unknown", is_filled),
    "submitting": State(submitting, "submitting", is_filled),
}
