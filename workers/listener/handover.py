"""How does an instrument change shards without a price nobody compares? The old listener lets go after the new one.

Nothing is agreed upon between the two: each looks at the database. A listener writes quotes of its own shard only, so
a quote later than everything heard here before the move was noticed proves that the new one hears and compares.
"""

from collections.abc import Iterable
from datetime import datetime

from apps.market import selectors
from apps.trading.watches import Followed
from workers.listener.tape import traded_at
from workers.listener.watch import Watcher


class Handover:
    """Names the instruments that were moved away and are still compared here, until another listener compares them."""

    def __init__(self, shard: int, watcher: Watcher) -> None:
        self.shards = frozenset({shard})  # where what is followed here belongs: to this one, or to the next one
        self._shard = shard
        self._watcher = watcher
        self._followed: dict[int, Followed] = {}
        self._heard: dict[int, datetime] = {}  # of what was moved away: up to when it was heard as that was noticed

    def with_leaving(self, rows: Iterable[Followed]) -> list[Followed]:
        """Return the shard's own instruments, just read, and those that left it and nobody else compares yet."""
        own = {row.instrument_id: row for row in rows}
        gone = [key for key in self._followed if key not in own]
        # After the move was seen and before the quote is read: no quote that this listener wrote can be later.
        self._heard = {key: at for key in gone if (at := self._heard.get(key) or self._newest(key))}
        places = selectors.elsewhere(self._shard, self._heard)
        leaving = {key: place.shard for key, place in places.items() if not self._is_taken_over(key, place)}
        self._followed = own | {key: self._followed[key] for key in leaving}
        self.shards = frozenset({self._shard, *leaving.values()})
        return list(self._followed.values())

    def _newest(self, instrument_id: int) -> datetime | None:
        """Return when the newest price heard here was traded, None when there is none and so nothing to hand over."""
        tape = self._watcher.by_id.get(instrument_id)
        last = tape.last() if tape is not None else None
        return None if last is None else traded_at(last)

    def _is_taken_over(self, instrument_id: int, place: selectors.Place) -> bool:
        """Say whether another listener compares an instrument by now, or nobody has to: it is off and has no levels."""
        if not place.enabled and not len(self._watcher.by_id[instrument_id].book):
            return True
        return place.at is not None and place.at > self._heard[instrument_id]
