"""Wishes of the tests of orders, and what they lead to at a venue that answers."""

from typing import Any

from apps.domain.legs import ExitReason, Leg
from apps.journal.models import Event
from apps.market.models import Instrument
from apps.trading.models import Account, Exit, Order, Position
from apps.trading.services import entering, exits
from tests import factories
from tests.trading.orders.book import send


def enter(
    account: Account, instrument: Instrument, *legs: Leg, quantity: str = "1", side: str = "long", **how: Any
) -> Order:
    """Wish to enter, at the market unless told otherwise, and return the order."""
    named = {name: how.pop(name) for name in ("request_key", "signal_id", "max_lots") if name in how}
    wish = factories.wish(account, instrument, *legs, quantity=quantity, side=side, **named)
    entered = entering.enter(entering.Entry(opening=wish, **how), now=factories.now())
    assert entered.order is not None
    return entered.order


def lot(account: Account, instrument: Instrument, *legs: Leg, **how: Any) -> Position:
    """Enter at a venue that fills at once."""
    order = enter(account, instrument, *legs, **how)
    send()
    found = factories.fresh(order).position
    assert found is not None
    return found  # type: ignore[no-any-return] # a row of any model


def close(position: Position) -> Exit:
    """Ask for a lot to be left, and let the exit be claimed."""
    exit_ = exits.request_exit(position_id=position.pk, reason=ExitReason.API, source="test", now=factories.now())
    factories.drain()
    return exit_


def story(order: Order) -> list[str]:
    """Return what the journal says of an order."""
    return list(Event.objects.filter(subject=f"order:{order.pk}").order_by("id").values_list("kind", flat=True))
