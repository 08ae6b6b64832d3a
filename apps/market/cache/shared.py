"""The second tier: JSON on Redis, shared by all processes, each value stamped with the versions of its tags.

To forget a tag is to raise its version: a value stamped with an older one counts no more, also when it is written only
afterwards by somebody who had read the database before. `GENERATION` rises with every forgetting, so that a process
learns by one look whether anything it holds itself may be outdated.
"""

import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from apps.market.cache.breaker import Breaker

PREFIX = "tradingsite:cache:2:"  # the number changes with the shape of the values
GENERATION = PREFIX + "generation"
TIMEOUT = 0.2  # seconds for connecting, and for an answer
VERSIONS_LAST = 3600  # seconds; longer than any value, so that a version that is gone cannot meet an older value


class Found(NamedTuple):
    """What Redis holds: the generation, the versions of the tags as they are now, and the value if it counts."""

    generation: str
    versions: tuple[str, ...]
    value: Any  # None: nothing that counts; a value is always wrapped in a list


class Shared:
    """The values on Redis. Every method returns at once when Redis does not answer: None, or nothing done."""

    def __init__(self, url: str = "") -> None:
        self.breaker = Breaker()
        self._client = redis.Redis.from_url(
            url or settings.REDIS_URL,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
        )

    def get(self, key: str, tags: Sequence[str]) -> Found | None:
        """Return what is held under a key, with the versions to stamp a new value with; None without Redis."""
        names = [GENERATION, PREFIX + key, *(_version(tag) for tag in tags)]
        answer = self._call("MGET", *names)
        if answer is None:
            return None
        versions = tuple(version or "" for version in answer[2:])
        return Found(answer[0] or "", versions, _counting(answer[1], versions))

    def put(self, key: str, versions: Sequence[str], value: Any, seconds: float) -> None:
        """Hold a value, stamped with the versions that were read before it was loaded."""
        text = json.dumps({"versions": list(versions), "value": [value]}, separators=(",", ":"))
        self._call("SET", PREFIX + key, text, "PX", max(1, round(seconds * 1000)))

    def generation(self) -> str | None:
        """Return how often something was forgotten, by anybody; None without Redis."""
        answer = self._call("MGET", GENERATION)
        return None if answer is None else answer[0] or ""

    def raise_versions(self, tags: Sequence[str]) -> bool:
        """Let every value with one of these tags count no more; False when Redis was not there to be told."""
        told = [self._call("INCR", _version(tag)) for tag in tags]
        for tag in tags:
            self._call("EXPIRE", _version(tag), VERSIONS_LAST)
        return self._call("INCR", GENERATION) is not None and None not in told

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _call(self, *command: Any) -> Any:
        if not self.breaker.may_call(time.monotonic()):
            return None
        try:
            answer = self._client.execute_command(*command)  # type: ignore[no-untyped-call] # untyped library
        except redis.RedisError:
            self.breaker.failed(time.monotonic())
            return None
        self.breaker.succeeded()
        return answer


def _version(tag: str) -> str:
    return f"{PREFIX}version:{tag}"


def _counting(text: str | None, versions: Sequence[str]) -> Any:
    if text is None:
        return None
    try:
        held = json.loads(text)
        return held["value"] if held["versions"] == list(versions) else None
    except (ValueError, KeyError, TypeError):  # somebody else's text under our key: as good as nothing
        return None
