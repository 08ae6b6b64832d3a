"""Which queues are there, and which task goes where: the queue follows from the first word of the task's name."""

from typing import Any

from kombu import Exchange, Queue

EXITS, ORDERS, MARKET, STRATEGIES, BACKTESTS, REPORTING, OPS = NAMES = (
    "exits",  # leaving positions; has workers of its own, so that nothing ever delays a stop
    "orders",  # entering positions and everything else of `trading`
    "market",  # candles, partitions, instruments
    "strategies",  # running strategies on closed bars
    "backtests",  # long work on history
    "reporting",  # notifications and reports
    "ops",  # housekeeping, and whatever nobody else claims
)
DRAIN_EXITS = "trading.drain_exits"
SEND_ORDERS = "trading.send_orders"
WATCH_RISK = "trading.watch_risk"
BY_NAME = {DRAIN_EXITS: EXITS}
BY_PREFIX = {"trading": ORDERS, **{name: name for name in (MARKET, STRATEGIES, BACKTESTS, REPORTING, OPS)}}

# The exchange without a name delivers to the queue that the key names: no binding has to be read from Redis before a
# message is sent, and none can be lost with a flushed server.
_DIRECT = Exchange("")
QUEUES = tuple(Queue(name, exchange=_DIRECT, routing_key=name) for name in NAMES)


def of(task_name: str) -> str:
    """Name the queue of a task; a task of an unknown family goes to `ops` and creates no queue."""
    return BY_NAME.get(task_name) or BY_PREFIX.get(task_name.partition(".")[0], OPS)


def route(
    name: str, args: object, kwargs: object, options: object, task: object = None, **_later: Any
) -> dict[str, str]:
    """Answer Celery's question where to send a task."""
    return {"queue": of(name)}
