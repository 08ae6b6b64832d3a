"""When may a feed dial again? Quickly after a good session, ever more slowly after bad ones."""

from collections.abc import Callable

from apps.market.feeds.base import FeedTimings

Draw = Callable[[float, float], float]


class Backoff:
    """Counts bad sessions in a row and names the wait before the next attempt, in seconds."""

    def __init__(self, timings: FeedTimings, draw: Draw) -> None:
        self._timings = timings
        self._draw = draw
        self._bad = 0
        self._sent_away = 0

    def wait_after(
        self, *, healthy_for: float, since_dialled: float, is_policy: bool = False, retry_after: float = 0.0
    ) -> float:
        """Return how long to wait after a session that had data for `healthy_for` and was dialled so long ago.

        Full jitter: anywhere between 0 and the doubled span, so that many listeners do not return in step.
        """
        timings = self._timings
        if healthy_for >= timings.healthy_after:
            self._bad = self._sent_away = 0
        if is_policy:
            return self._policy_wait(retry_after)
        span = min(timings.backoff_base * timings.backoff_factor ** min(self._bad, 64), timings.backoff_cap)
        if healthy_for > 0.0:
            # A venue that ends every session after some seconds of data is blind for half of the time at most.
            span = min(span, max(healthy_for, timings.backoff_base))
        self._bad += 1
        return max(self._draw(0.0, span), timings.connection_spacing - since_dialled, 0.0)

    def _policy_wait(self, retry_after: float) -> float:
        """A venue that sent us away is asked again no sooner than it said, spread over a fifth of the wait."""
        timings = self._timings
        wait = min(timings.policy_delay * timings.backoff_factor ** min(self._sent_away, 64), timings.policy_cap)
        self._sent_away += 1
        wait = max(wait, min(retry_after, timings.policy_cap))
        return wait + self._draw(0.0, wait / 5)
