"""What a client has although the hub has not come there, or will offer it again: so that nothing comes twice."""

from collections.abc import Collection, Iterable

from apps.web.gateway.place import Place


class Had:
    """The events one socket needs no more. Belongs to one connection."""

    def __init__(self) -> None:
        self._replayed: set[int] = set()  # by this socket, while the hub was still missing them
        self._before: dict[str, set[int]] = {}  # by the client's socket before this one, per channel

    def resumed(self, channels: Iterable[str], since: Place, at: Place) -> None:
        """Note where the client stands on some channels, and where the hub does."""
        ahead = {*range(at.head + 1, since.head + 1), *(number for number in at.missing if number <= since.head)}
        self._before.update(dict.fromkeys(channels, ahead - since.missing))

    def replayed(self, event_id: int, at: Place) -> None:
        """Note an event that a replay sends; only one the hub has not passed will be offered again."""
        if not at.passed(event_id):
            self._replayed.add(event_id)

    def was_replayed(self, event_id: int) -> bool:
        """Say whether a replay sent an event."""
        return event_id in self._replayed

    def has(self, event_id: int, channel: str) -> bool:
        """Say whether the client has an event of a channel."""
        return event_id in self._replayed or event_id in self._before.get(channel, ())

    def place(self, after: Place, at: Place) -> Place:
        """Return the place of this client where one who started at the end would be at `after`; `at` is the hub's."""
        if not self._replayed and not self._before:
            return after
        self._forget(at)
        return after.also(self._replayed.union(*self._before.values()))

    def _forget(self, at: Place) -> None:
        self._replayed = _ahead(self._replayed, at)
        self._before = {name: left for name, had in self._before.items() if (left := _ahead(had, at))}


def _ahead(numbers: Collection[int], at: Place) -> set[int]:
    return {number for number in numbers if not at.passed(number)}
