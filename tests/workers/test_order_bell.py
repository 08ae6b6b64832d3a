"""The bell for orders: another queue and another ring in flight than the one for exits, the same manners."""

import pytest
import redis
from django.conf import settings
from django.db import transaction

from apps.trading import bell as port
from tests.workers.conftest import PREFIX
from workers import bell
from workers.bell import FOR_EXITS, FOR_ORDERS, Bell

EXITS, ORDERS = f"{PREFIX}exits", f"{PREFIX}orders"


def ringer() -> Bell:
    return Bell(bell._publisher(), settings.REDIS_URL, FOR_ORDERS)


def test_it_rings_on_its_own_queue_once_until_somebody_comes(broker: "redis.Redis") -> None:
    one = ringer()
    one.answered()
    one.ring()
    one.ring()
    assert (broker.llen(ORDERS), broker.llen(EXITS)) == (1, 0)
    assert b"trading.send_orders" in broker.lindex(ORDERS, 0)
    one.answered()
    one.ring()
    assert broker.llen(ORDERS) == 2


def test_the_two_bells_do_not_silence_each_other(broker: "redis.Redis") -> None:
    ringer().answered()  # of a test before
    ringer().ring()
    Bell(bell._publisher(), settings.REDIS_URL, FOR_EXITS).ring()
    assert (broker.llen(ORDERS), broker.llen(EXITS)) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_it_rings_after_the_commit_and_not_after_a_rollback() -> None:
    rung: list[str] = []
    before = port._ring, port._announce, port._ring_orders
    port.install(ring=lambda: None, announce=lambda: None, ring_orders=lambda: rung.append("orders"))
    try:
        with transaction.atomic():
            port.ring_orders_after_commit()
            assert rung == []
        assert rung == ["orders"]
        with transaction.atomic():
            port.ring_orders_after_commit()
            transaction.set_rollback(True)
        assert rung == ["orders"]
    finally:
        port._ring, port._announce, port._ring_orders = before
