"""How loud an event is: routes ask for a loudness and above, and quiet hours let the loudest through."""

from enum import StrEnum


class Severity(StrEnum):
    """What a person should do about an event, the calmest first."""

    INFO = "info"  # nothing: it is good to know
    NOTICE = "notice"  # read it today
    WARNING = "warning"  # look within the hour
    CRITICAL = "critical"  # look at once

    @property
    def rank(self) -> int:
        """Return its place, the calmest being 0."""
        return list(Severity).index(self)


def at_least(lowest: Severity) -> frozenset[Severity]:
    """Return a loudness and those above it."""
    return frozenset(each for each in Severity if each.rank >= lowest.rank)
