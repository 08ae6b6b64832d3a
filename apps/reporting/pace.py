"""How long to wait after a try that failed, and when to give up."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Waits grow twofold from `first` to `longest`; after `tries` in all nothing is tried any more."""

    first: timedelta
    longest: timedelta
    tries: int

    def wait(self, failures: int, asked: timedelta | None = None) -> timedelta:
        """Return how long to wait after so many failures in a row; never less than the provider asked for."""
        grown = self.first * int(2 ** min(max(failures - 1, 0), 20))
        return max(min(grown, self.longest), asked or timedelta(0))

    def gives_up(self, tries: int) -> bool:
        """Say whether so many tries are enough."""
        return tries >= self.tries


# 5 s, 10 s, ... 5 min, then every 5 minutes: given up after a little more than a day of silence.
DELIVERY: Final = Policy(first=timedelta(seconds=5), longest=timedelta(minutes=5), tries=300)
LONGEST_ASKED: Final = timedelta(hours=6)  # a provider that asks for longer is asked again after this
