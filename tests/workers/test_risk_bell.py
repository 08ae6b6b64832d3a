"""The bell for risk: rung with every announcement, once a second at most, by however many processes."""

import redis

from tests.workers.conftest import PREFIX
from workers import bell

ORDERS = f"{PREFIX}orders"


def test_many_announcements_ring_once_a_second(broker: "redis.Redis") -> None:
    broker.delete(bell.RISK_KEY)
    bell._quiet_until.clear()
    for _ in range(50):
        bell.announce()
    bell._quiet_until.clear()  # as another process would
    bell.announce()
    assert broker.llen(ORDERS) == 1
    assert b"trading.watch_risk" in broker.lindex(ORDERS, 0)
    assert 0 < broker.pttl(bell.RISK_KEY) <= bell.WATCH_PAUSE_MS
    broker.delete(bell.RISK_KEY)  # as a second later
    bell._quiet_until.clear()
    bell.announce()
    assert broker.llen(ORDERS) == 2
