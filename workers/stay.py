"""A worker that has just executed exits stays by the bell for a moment: it hears the next ring without a queue between.

One at a time stays. It leaves a mark that lasts a tenth of a second and is renewed while it listens: whoever rings
calls on the channel the mark names, and sends a task when there is no mark or nobody listens there. So a worker that
dies, hangs or is busy with a long batch is passed over after that, and the sweeper looks every second whatever
happens here.
"""

import time
from collections.abc import Callable
from typing import Final
from uuid import uuid4

from redis import Redis
from redis.client import PubSub

MARK: Final = "tradingsite:bell:stays"
MARK_MS: Final = 100
LISTEN: Final = 0.03  # seconds between two renewals of the mark
IDLE: Final = 0.1  # seconds without a ring, then the worker leaves
AT_MOST: Final = 2.0  # seconds altogether, so that a worker that shall stop can


class Stay:
    """The place by the bell, as one process sees it."""

    def __init__(self, client: "Redis", in_flight: str) -> None:
        self._redis = client
        self._in_flight = in_flight  # the key that says a ring is on its way; whoever comes takes it down
        self._channel = f"{MARK}:{uuid4().hex}"
        self._calls: PubSub | None = None

    def stay(self, look: Callable[[], object]) -> None:
        """Look whenever the bell rings, until it has been silent for a while. Raises RedisError.

        Does nothing when another worker stays. A ring that came while this one was leaving is not lost: it looks a last
        time after its mark is gone.
        """
        calls = self._subscribed()
        if not self._redis.set(MARK, self._channel, nx=True, px=MARK_MS):
            return
        began = heard = time.monotonic()
        try:
            while (now := time.monotonic()) - heard < IDLE and now - began < AT_MOST:
                if self._called(calls):
                    look()
                    heard = time.monotonic()
        finally:
            self._redis.delete(MARK, self._in_flight)
        look()

    def _called(self, calls: PubSub) -> bool:
        """Listen for a ring; renew the mark and, if it rang, let the next ring out, in one exchange."""
        message = calls.get_message(ignore_subscribe_messages=True, timeout=LISTEN)
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.set(MARK, self._channel, px=MARK_MS)
            if message:
                pipe.delete(self._in_flight)
            pipe.execute()
        return message is not None

    def _subscribed(self) -> PubSub:
        if self._calls is None:
            self._calls = self._redis.pubsub()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
            self._calls.subscribe(self._channel)
            self._calls.get_message(timeout=1.0)  # the server's word that it listens for us
        return self._calls
