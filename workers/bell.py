"""How a process rings for a worker and tells the screens that something happened, at most once at a time.

The bell carries no payload and may be lost: the rows are the truth and the sweeper looks at them every second. So
nothing here raises, and a dead or frozen Redis costs the caller a second at most, then nothing until it is tried again.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from amqp.exceptions import AMQPError
from celery import Celery
from celery.utils import uuid
from django.conf import settings
from kombu import Connection, Producer
from kombu.exceptions import OperationalError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from workers import queues
from workers.stay import MARK, Stay

KEY: Final = "tradingsite:bell:exits"
ORDERS_KEY: Final = "tradingsite:bell:orders"
RISK_KEY: Final = "tradingsite:bell:risk"
CHANNEL: Final = "tradingsite:events"
WATCH_PAUSE_MS: Final = 1000  # risk is looked at once a second at most, however much is traded; beat looks as well
IN_FLIGHT_MS: Final = 500  # a ring that nobody answered is forgotten after this, and the next one goes out
PATIENCE: Final = 1.0  # seconds for one exchange with Redis
PAUSE: Final = 1.0  # seconds without an attempt after a failure
LOG_EVERY: Final = 60.0
TRANSPORT: Final = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE, "health_check_interval": 0}
# Says whether a task is to be sent. A ring in flight is enough for all; a worker that stays is called instead, but not
# ahead of the rows: it would be there before them.
_RING: Final = """
local stays = redis.call('get', KEYS[2])
if stays and ARGV[2] == 'ahead' then return 0 end
if not redis.call('set', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then return 0 end
if stays and ARGV[2] == 'now' and redis.call('publish', stays, '') > 0 then return 0 end
return 1
"""
BROKEN: Final = (RedisError, AMQPError, OperationalError, OSError)

logger = logging.getLogger(__name__)


class Line(NamedTuple):
    """What a bell rings for: the task that answers, its queue, the key of a ring in flight and of a worker staying.

    One ring at most is sent in `pause_ms`, unless a worker has answered in between.
    """

    task: str
    queue: str
    key: str
    mark: str
    pause_ms: int = IN_FLIGHT_MS


FOR_EXITS: Final = Line(queues.DRAIN_EXITS, queues.EXITS, KEY, MARK)
FOR_ORDERS: Final = Line(queues.SEND_ORDERS, queues.ORDERS, ORDERS_KEY, f"{ORDERS_KEY}:stays")
FOR_RISK: Final = Line(queues.WATCH_RISK, queues.ORDERS, RISK_KEY, f"{RISK_KEY}:stays", WATCH_PAUSE_MS)


class Breaker:
    """Keeps a process from trying again at once what has just failed, and from logging it more than once a minute."""

    def __init__(self) -> None:
        self._closed_at = 0.0
        self._logged_at = -LOG_EVERY

    @property
    def is_open(self) -> bool:
        """Say whether the pause after a failure still lasts."""
        return time.monotonic() < self._closed_at

    def attempt(self, what: str, act: Callable[[], object]) -> bool:
        """Do it unless the pause lasts; return whether it worked."""
        if self.is_open:
            return False
        try:
            act()
        except BROKEN as error:
            self._failed(what, error)
            return False
        return True

    def _failed(self, what: str, error: Exception) -> None:
        now = time.monotonic()
        self._closed_at = now + PAUSE
        if now - self._logged_at >= LOG_EVERY:
            self._logged_at = now
            logger.warning("%s failed, the sweeper makes up for it: %s: %s", what, type(error).__name__, error)


class Bell:
    """The bell of one process for one kind of work; safe to use from any thread, made anew after a fork."""

    def __init__(self, app: Celery, redis_url: str, line: Line = FOR_EXITS) -> None:
        self._app = app
        self._line = line
        self._task = app.amqp.create_task_message("", line.task, (), {}, ignore_result=True)
        self._redis = Redis.from_url(
            redis_url,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            # A connection that a restarted server has closed is worth one more try; a silent server is not.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
        self._asks = self._redis.register_script(_RING)
        self._stay = Stay(self._redis, KEY)
        self._producer: Producer | None = None
        self._connection: Connection | None = None
        self._breaker = Breaker()
        self._ringing = threading.Lock()
        self._wanted = threading.Event()

    def ring(self) -> None:
        """Let a worker see to the rows, unless a ring is on its way already. Never raises."""
        self._wanted.set()
        # Whoever holds the lock looks at the wish again before and after letting go: no wish is lost between the two,
        # and a burst from many threads becomes one or two rings.
        while self._wanted.is_set() and self._ringing.acquire(blocking=False):
            try:
                self._wanted.clear()
                self._breaker.attempt("ringing for a worker", self._ring)
            finally:
                self._ringing.release()

    def ring_ahead(self) -> None:
        """Have a worker on its way while the rows are being written; `ring` must follow. Never raises."""
        self._breaker.attempt("ringing for a worker", lambda: self._ring("ahead"))

    def ring_another(self) -> None:
        """Let one more worker come, although one is there. Never raises."""
        self._breaker.attempt("ringing for another worker", lambda: self._ring("another"))

    def answered(self) -> None:
        """Say that a worker has come: from now on a new ring goes out. Never raises."""
        self._breaker.attempt("answering the bell", lambda: self._redis.delete(self._line.key))

    def stay(self, look: Callable[[], object]) -> None:
        """Stay by the bell for a moment and look whenever it rings. Raises only what `look` raises."""
        self._breaker.attempt("staying by the bell", lambda: self._stay.stay(look))

    def announce(self) -> None:
        """Tell the gateways that the journal has something new. Never raises."""
        self._breaker.attempt("announcing an event", lambda: self._redis.publish(CHANNEL, b""))

    def _ring(self, when: str = "now") -> None:
        if self._asks(keys=[self._line.key, self._line.mark], args=[self._line.pause_ms, when]):
            self._publish()

    def _publish(self) -> None:
        """Send what `send_task` would; every ring is alike, so all but its id is made once (a third of the cost)."""
        id_ = uuid()
        try:
            producer = self._producer or self._connect()
            producer.publish(
                self._task.body,
                exchange="",
                routing_key=self._line.queue,
                serializer="json",
                retry=False,
                headers={**self._task.headers, "id": id_, "root_id": id_},
                **{**self._task.properties, "correlation_id": id_},
            )
        except BROKEN:
            self._disconnect()
            raise

    def _connect(self) -> Producer:
        options = TRANSPORT if settings.BROKER_URL.startswith("redis") else {}
        self._connection = self._app.connection_for_write(connect_timeout=PATIENCE, transport_options=options)
        # A channel of its own: the connection's default one would try to connect for ever.
        channel = self._connection.channel()
        queues.QUEUES[queues.NAMES.index(self._line.queue)](channel).declare()
        self._producer = Producer(channel, auto_declare=False)
        return self._producer

    def _disconnect(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            connection.release()


_bells: dict[tuple[int, Line], Bell] = {}
_quiet_until: dict[Line, float] = {}  # by the monotonic clock


def _publisher() -> Celery:
    """Make an application that only sends: a process that rings need not load what workers load."""
    app = Celery("tradingsite-bell", set_as_current=False, fixups=[])
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.conf.task_queues = queues.QUEUES
    return app


def _bell(line: Line = FOR_EXITS) -> Bell:
    """Return this process's bell; a forked child never talks on its parent's connections."""
    process = os.getpid()
    found = _bells.get((process, line))
    if found is None:
        for key in [key for key in _bells if key[0] != process]:
            _bells.pop(key, None)
        found = _bells.setdefault((process, line), Bell(_publisher(), settings.REDIS_URL, line))
    return found


def ring() -> None:
    """Let a worker drain the exits, unless a ring is on its way already. Never raises, waits a second at most."""
    _bell().ring()


def ring_ahead() -> None:
    """Have a worker on its way while the rows are being written; `ring` must follow. Never raises."""
    _bell().ring_ahead()


def ring_another() -> None:
    """Let one more worker come, although one is there. Never raises."""
    _bell().ring_another()


def answered() -> None:
    """Say that a worker has come for the exits. Never raises."""
    _bell().answered()


def stay(look: Callable[[], object]) -> None:
    """Stay by the bell for a moment and look whenever it rings. Raises only what `look` raises."""
    _bell().stay(look)


def ring_orders() -> None:
    """Let a worker see to the orders, unless a ring is on its way already. Never raises, waits a second at most."""
    _bell(FOR_ORDERS).ring()


def ring_orders_again() -> None:
    """Let one more worker see to the orders, although one has come. Never raises."""
    _bell(FOR_ORDERS).ring_another()


def orders_answered() -> None:
    """Say that a worker has come for the orders. Never raises."""
    _bell(FOR_ORDERS).answered()


def announce() -> None:
    """Tell the gateways that the journal has something new, and have risk looked at again. Never raises."""
    _bell().announce()
    ring_risk()


def ring_risk() -> None:
    """Let a worker look at risk, once a second at most. Never raises."""
    now = time.monotonic()
    if now >= _quiet_until.get(FOR_RISK, 0.0):  # asked here first: whoever trades a lot asks Redis once a second
        _quiet_until[FOR_RISK] = now + WATCH_PAUSE_MS / 1000
        _bell(FOR_RISK).ring()
