"""Whether Redis is worth asking: after a failure nobody waits for it for a while, then one caller tries again."""

from threading import Lock

FIRST_PAUSE = 1.0  # seconds
LONGEST_PAUSE = 15.0


class Breaker:
    """Closed while calls succeed; opens on the first failure, for a pause that doubles with each further one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pause = 0.0
        self._until = 0.0

    @property
    def is_open(self) -> bool:
        """Say whether the last call failed."""
        return self._pause > 0

    def may_call(self, now: float) -> bool:
        """Say whether to call; at the end of a pause one caller is let through and the others wait out another."""
        if not self._pause:
            return True
        with self._lock:
            if now < self._until:
                return False
            self._until = now + max(self._pause, FIRST_PAUSE)
            return True

    def succeeded(self) -> None:
        """Note that a call succeeded."""
        if self._pause:
            with self._lock:
                self._pause = 0.0

    def failed(self, now: float) -> None:
        """Note that a call failed."""
        with self._lock:
            self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
            self._until = now + self._pause
