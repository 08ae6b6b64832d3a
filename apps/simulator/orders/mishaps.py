"""Faults of the private API that wait for their call: each strikes a number of times, or at a rate with a seed."""

import random
from dataclasses import dataclass, field
from typing import Any

ANY = "any"
ANSWERS = ("order_timeout", "order_status", "order_limit", "order_reset", "order_slow")
"""Faults of the answer, in the order in which they are looked at."""
EFFECTS = ("order_reject", "order_partial", "order_pending", "order_late_fill", "order_duplicate", "order_lost")
"""Faults of what happens to the order itself."""
NAMES = ANSWERS + EFFECTS


@dataclass(slots=True)
class Mishap:
    """One fault at work: `left` calls to strike (None without end), each with the probability `rate`."""

    name: str
    args: dict[str, Any]
    left: int | None
    rate: float
    luck: random.Random
    struck: list[str] = field(default_factory=list)  # the calls or orders it hit, for the journal

    def strikes(self, call: str) -> bool:
        """Say whether it strikes this call, and count it."""
        if self.args.get("call", ANY) not in (ANY, call) or self.left == 0:
            return False
        if self.rate < 1 and self.luck.random() >= self.rate:
            return False
        if self.left is not None:
            self.left -= 1
        self.struck.append(call)
        return True


class Mishaps:
    """All faults of the private API that are switched on; the first of a name that strikes wins."""

    def __init__(self) -> None:
        self._waiting: list[Mishap] = []

    def add(self, name: str, args: dict[str, Any]) -> None:
        """Switch one on. `count` 0 is without end, `rate` below 1 lets `seed` decide which calls it strikes."""
        count = int(args.get("count", 1))
        luck = random.Random(int(args.get("seed", 1)))  # noqa: S311 - repeatable luck, not a secret
        self._waiting.append(Mishap(name, args, count or None, float(args.get("rate", 1.0)), luck))

    def take(self, name: str, call: str = ANY) -> dict[str, Any] | None:
        """Return the arguments of a fault that strikes this call, None when none does."""
        for mishap in self._waiting:
            if mishap.name == name and mishap.strikes(call):
                if mishap.left == 0:
                    self._waiting.remove(mishap)
                return mishap.args
        return None

    def clear(self) -> None:
        """Switch all of them off."""
        self._waiting.clear()

    def waiting(self) -> list[dict[str, Any]]:
        """What is switched on, for people."""
        return [{"fault": each.name, "args": each.args, "left": each.left} for each in self._waiting]
