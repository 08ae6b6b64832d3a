"""A worker that dies at its n-th statement, for every n: what it had committed stays, and is brought to its end."""

import contextlib
import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

import pytest

from apps.domain.errors import Refused
from apps.domain.legs import ExitReason
from apps.domain.orders import OrderKind
from apps.trading.models import Order, Position
from apps.trading.services import entering, exits, ordering
from tests import factories
from tests.factories import fresh, stop
from tests.faults.orders.desk import BROKEN, Desk, dying_at, in_child

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

MOST = 400  # statements of one act; more is a loop


class Story(NamedTuple):
    """What is begun, what dies in the middle of it, and what must be true once others have gone on."""

    act: Callable[[], object]  # dies
    go_on: Callable[[], object]  # what a person or a worker does next
    ended: Callable[[], bool]


def opening(desk: Desk, key: str) -> Story:
    """Enter by the same request, again and again."""
    wish = factories.wish(desk.account, desk.instrument, stop("95"), quantity="1", request_key=key)

    def enter() -> None:
        entering.enter(entering.Entry(opening=wish), now=factories.now())

    def go_on() -> None:
        enter()
        desk.send()

    return Story(enter, go_on, lambda: _filled(Order.objects.filter(request_key=key)))


def sending(desk: Desk, key: str) -> Story:
    """Send an order, hear that it is filled, and book that."""
    order = desk.enter(stop("95"), request_key=key)
    return Story(desk.send, lambda: _later(desk), lambda: _filled(Order.objects.filter(pk=order.pk)))


def settling(desk: Desk, key: str) -> Story:
    """Find out that an order whose answer was lost is filled."""
    order = desk.enter(stop("95"), request_key=key)
    desk.fault("order_timeout:after=1,count=1,call=place")
    desk.send()
    return Story(lambda: desk.send(1), lambda: _later(desk), lambda: _filled(Order.objects.filter(pk=order.pk)))


def cancelling(desk: Desk, key: str) -> Story:
    """Take an order back that works."""
    order = desk.enter(stop("70"), kind=OrderKind.LIMIT, limit_price=Decimal(80), request_key=key)
    desk.send()

    def cancel() -> None:
        with contextlib.suppress(Refused):
            ordering.cancel(order.pk, now=factories.now())
        desk.send(1)

    def go_on() -> None:
        cancel()
        _later(desk)

    return Story(cancel, go_on, lambda: fresh(order).status == "cancelled")


def claiming(desk: Desk, key: str) -> Story:
    """Leave a position: ask, claim, send, settle."""
    position = desk.lot(stop("95"), request_key=key)

    def leave() -> None:
        with contextlib.suppress(Refused):
            exits.request_exit(position_id=position.pk, reason=ExitReason.API, source="test", now=factories.now())
        factories.drain()
        desk.send()

    def go_on() -> None:
        leave()
        _later(desk)

    return Story(leave, go_on, lambda: fresh(position).status == "closed")


def _filled(orders: object) -> bool:
    (order,) = orders  # type: ignore[misc] # a queryset of one
    return bool(order.status == "filled" and order.position.remaining == order.filled == 1)


def _later(desk: Desk) -> None:
    for second in (2, 31, 42):
        factories.drain()
        desk.send(second)


@pytest.mark.parametrize("begin", [opening, sending, settling, cancelling, claiming])
def test_whoever_dies_at_any_statement_leaves_nothing_doubled_or_lost(
    desk: Desk, begin: Callable[[Desk, str], Story]
) -> None:
    for number in itertools.count():
        desk.trade("100")
        story = begin(desk, f"story-{number}")
        lots = Position.objects.count()
        status = in_child(dying_at(number, story.act))
        assert status in (0, BROKEN), number
        story.go_on()
        assert story.ended(), number
        assert Position.objects.count() <= lots + 1, number
        assert desk.disagreements() == [], number
        if status == 0:
            break
        assert number < MOST
    print(f"\n  {begin.__name__}: died at each of {number} statements")
    assert number > 10, "it died nowhere"
    assert desk.agrees()
