"""How many requests one may send: counted in Redis per token, per person, and, when refused, per address.

Each bucket holds a minute's worth and fills up evenly. Without Redis nobody is held up: trading goes before counting.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NoReturn

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rest_framework.exceptions import Throttled
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from apps.access import bearers

MINUTE: Final = 60_000_000  # microseconds
TIMEOUT: Final = 1.0  # seconds
AWAY_FOR: Final = 5.0  # seconds without asking, after Redis did not answer
_PREFIX: Final = "tradingsite:limit:"
# Each key holds when its bucket would be full again. All have room, or nothing is taken from any.
_TAKE: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local after, answer, room = {}, {}, 1
for place, key in ipairs(KEYS) do
    local step = tonumber(ARGV[place])
    local full = tonumber(redis.call('GET', key) or now)
    if full < now then full = now end
    after[place] = full + step
    if after[place] - now > 60000000 then room = 0 end
end
for place, key in ipairs(KEYS) do
    local step = tonumber(ARGV[place])
    local ahead = after[place] - now
    if room == 1 then redis.call('SET', key, after[place], 'PX', math.ceil(ahead / 1000) + 1) end
    answer[place] = ahead
end
return {room, answer}
"""
_log = logging.getLogger(__name__)


class Later(Throttled):
    """Not now: come again in so many seconds."""

    def __init__(self, detail: str, seconds: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail=detail)
        self.headers = {**(headers or {}), "Retry-After": str(seconds)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """What is counted together, and how much of it a minute is allowed."""

    name: str
    key: str
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What is left in the tightest bucket: how many requests now, and in how many seconds it is full again."""

    bucket: Bucket
    left: int
    full_in: float
    wait: float  # seconds until the next request fits; 0 when this one did

    def headers(self) -> dict[str, str]:
        """Return what tells a client how to pace itself."""
        return {
            "RateLimit-Limit": str(self.bucket.limit),
            "RateLimit-Remaining": str(self.left),
            "RateLimit-Reset": str(_whole(self.full_in)),
        }


class _Counter:
    """Redis, or a while without asking it after it did not answer."""

    def __init__(self) -> None:
        self._away_until = 0.0

    def take(self, buckets: list[Bucket]) -> tuple[bool, list[int]] | None:
        """Take one from each bucket if all have room; None when nobody can say."""
        if not settings.REDIS_URL or not buckets or time.monotonic() < self._away_until:
            return None
        steps = [MINUTE // bucket.limit for bucket in buckets]
        try:
            room, ahead = _script(settings.REDIS_URL)(keys=[_PREFIX + bucket.key for bucket in buckets], args=steps)
        except RedisError as error:
            self._away_until = time.monotonic() + AWAY_FOR
            _log.warning("requests are not counted for %d s: Redis does not answer: %s", AWAY_FOR, error)
            return None
        return bool(room), [int(each) for each in ahead]


_counter = _Counter()


def take(request: Request) -> Room | None:
    """Count a request that was let in. Raises Later, which says when to come again; None without limits."""
    kind = "read" if request.method in SAFE_METHODS else "trade"
    caller = bearers.key_of(request.auth) or f"session:{request.user.pk}"
    return _take([_bucket(kind, caller), _bucket("person", str(request.user.pk))])


def refuse(request: Request) -> None:
    """Count a request that brought no good token or password, by its address. Raises Later."""
    _take([_bucket("refused", str(request.META.get("REMOTE_ADDR", "")))])


def _take(buckets: list[Bucket]) -> Room | None:
    counted = [bucket for bucket in buckets if bucket.limit]
    told = _counter.take(counted)
    if told is None:
        return None
    allowed, ahead = told
    rooms = [_room(bucket, each) for bucket, each in zip(counted, ahead, strict=True)]
    tightest = max(rooms, key=lambda room: (room.wait, -room.left))
    return tightest if allowed else _throttle(tightest)


def _throttle(room: Room) -> NoReturn:
    words = {
        "read": "requests that read with this token",
        "trade": "requests that change something with this token",
        "person": "requests of one person, whatever the token",
        "refused": "requests without a good token from one address",
    }
    detail = f"At most {room.bucket.limit} {words[room.bucket.name]} are taken in a minute."
    raise Later(detail, _whole(room.wait), room.headers())


def _room(bucket: Bucket, ahead: int) -> Room:
    step = MINUTE // bucket.limit
    left = max(0, (MINUTE - ahead) // step)
    return Room(bucket=bucket, left=left, full_in=ahead / 1e6, wait=max(0, ahead - MINUTE) / 1e6)


def _bucket(name: str, who: str) -> Bucket:
    return Bucket(name=name, key=f"{name}:{who}", limit=settings.API_LIMITS[name])


def _whole(seconds: float) -> int:
    """Return seconds rounded up, at least 1."""
    return max(1, int(seconds) + (seconds > int(seconds)))


@cache
def _script(address: str) -> Any:
    client = Redis.from_url(
        address, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0)
    )
    return client.register_script(_TAKE)
