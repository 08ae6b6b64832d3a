"""The Redis transport that survives garbage: one entry that is no message must not end a worker.

With the transport as it comes, a single entry that is not JSON ends the worker, and the next one that reads such an
entry, and so on. Here the entry is set aside and logged, and the worker goes on. As a service to whoever looks for its
origin, the last ones are kept in a list beside the queues.
"""

import binascii
import json
import logging
from base64 import b64decode
from collections.abc import Mapping
from queue import Empty
from typing import Any, Final

from kombu.transport import redis
from redis.exceptions import RedisError

QUARANTINE: Final = "quarantine"
KEPT: Final = 100
SHOWN: Final = 200  # characters of an entry that are logged
MAX_KEPT_BYTES: Final = 4096  # of an entry

logger = logging.getLogger(__name__)


class Channel(redis.Channel):
    """A channel that sets aside what it cannot read, and keeps its client.

    The channel as it comes makes a client for every single exchange, which costs more than the exchange itself.
    """

    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[misc] # as below
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()  # type: ignore[misc] # the stubs do not know it
        return self._kept

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc] # the stubs do not know it
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            self.set_aside(error.doc if isinstance(error, json.JSONDecodeError) else error.object)
            raise Empty from None

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        try:
            return super()._get(queue)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            self.set_aside(error.doc if isinstance(error, json.JSONDecodeError) else error.object)
            raise Empty from None

    def set_aside(self, entry: str | bytes) -> None:
        """Keep an entry that is no message where a person finds it, and say so."""
        logger.error("An entry of a queue is not a message and was set aside: %.*r", SHOWN, entry[:SHOWN])
        try:
            with self.conn_or_acquire() as client, client.pipeline() as pipe:
                pipe.lpush(QUARANTINE, entry[:MAX_KEPT_BYTES])
                pipe.ltrim(QUARANTINE, 0, KEPT - 1)
                pipe.execute()
        except RedisError:
            logger.warning("It could not be kept.")


class Transport(redis.Transport):
    """The Redis transport with channels that set garbage aside."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str | None) -> None:
        if _is_message(message):
            super()._deliver(message, queue)
            return
        for channel in self.channels or ():
            if isinstance(channel, Channel):
                channel.set_aside(json.dumps(message))
                return


def _is_message(entry: Any) -> bool:
    """Say whether an entry has what every message has, so that nothing behind this trips over it."""
    properties = entry.get("properties") if isinstance(entry, Mapping) else None
    return (
        isinstance(properties, Mapping)
        and isinstance(properties.get("delivery_tag"), str)
        and isinstance(properties.get("delivery_info"), Mapping)
        and isinstance(entry.get("headers", {}), Mapping)
        and _decodes(entry.get("body", ""), properties.get("body_encoding"))
    )


def _decodes(body: Any, encoding: Any) -> bool:
    try:
        return isinstance(body, str) and (encoding is None or (encoding == "base64" and b64decode(body) is not None))
    except binascii.Error:
        return False
