"""How far is the venue's clock from ours? The smallest delay seen lately, because delay only adds."""

from apps.domain import feed_rules

SECOND_NS = 1_000_000_000
_WINDOW_NS = 1800 * SECOND_NS  # two windows are kept: the minimum is of the last 30 to 60 minutes
_EVERY_NS = SECOND_NS  # one sample a second is enough, and parsing a time costs more than judging a print


class Skew:
    """The running minimum of receive time minus venue time over live messages, 0 until one was seen."""

    def __init__(self) -> None:
        self.due_ns = 0
        self._older: int | None = None
        self._newer: int | None = None
        self._turn_ns = 0

    @property
    def ns(self) -> int:
        """Return the skew in nanoseconds; negative when the venue's clock is ahead."""
        known = [delay for delay in (self._older, self._newer) if delay is not None]
        return min(known, default=0)

    def learn(self, venue_time: str, received_ns: int) -> None:
        """Take the delay of one live message, at most once a second (`due_ns` says when the next one counts)."""
        venue_ns = feed_rules.instant_ns(venue_time)
        if venue_ns is None:
            return
        self.due_ns = received_ns + _EVERY_NS
        if received_ns >= self._turn_ns:
            self._older, self._newer = self._newer, None
            self._turn_ns = received_ns + _WINDOW_NS
        delay = received_ns - venue_ns
        self._newer = delay if self._newer is None else min(self._newer, delay)
