"""How far the journal was followed, as a value that travels: what a client has, written so that nothing comes twice."""

import re
from collections.abc import Collection, Iterable
from itertools import pairwise
from typing import NamedTuple

MOST = 200  # missing numbers a text names; with more of them it names a number below all, and events come again
LONGEST = 1500  # characters of a text
_TEXT = re.compile(r"(\d{1,19})(?::(\d{1,10}(?:-\d{1,10})?(?:,\d{1,10}(?:-\d{1,10})?)*))?", re.ASCII)


class Place(NamedTuple):
    """Every number up to `head` except those that are `missing`: not visible yet, or never to be."""

    head: int
    missing: frozenset[int] = frozenset()

    def passed(self, event_id: int) -> bool:
        """Say whether an event lies behind this place, so that it will not come again."""
        return event_id <= self.head and event_id not in self.missing

    @property
    def floor(self) -> int:
        """The number below and at which nothing is missing."""
        return min(self.missing, default=self.head + 1) - 1

    def also(self, numbers: Collection[int]) -> "Place":
        """Return the place of somebody who has these events as well."""
        if not numbers:
            return self
        head = max(self.head, *numbers)
        return Place(head, self.missing.union(range(self.head + 1, head + 1)).difference(numbers))

    def up_to(self, head: int, sent: Collection[int]) -> "Place":
        """Return the place of somebody on the way here who was sent everything visible up to a number."""
        return Place(head, frozenset(number for number in self.missing if number <= head).difference(sent))

    def text(self) -> str:
        """Write it as `head`, or `head:gaps` with the gaps as distances below the head, like `1340:3,5-6`."""
        if not self.missing:
            return str(self.head)
        spelled = ",".join(_ranges(sorted(self.head - number for number in self.missing))) if self._is_short else ""
        return f"{self.head}:{spelled}" if 0 < len(spelled) <= LONGEST else str(self.floor)

    @property
    def _is_short(self) -> bool:
        return len(self.missing) <= MOST

    @classmethod
    def of(cls, text: str) -> "Place":
        """Return the place a text spells. Raises ValueError, which says what is wrong."""
        found = _TEXT.fullmatch(text)
        if found is None or int(found[1]) >= 2**63:
            raise ValueError("is no place in the journal")
        head = int(found[1])
        missing: set[int] = set()
        for first, last in _spans(found[2] or ""):
            if not 0 < first <= last < head or last - first >= MOST:
                raise ValueError("names gaps that cannot be")
            missing.update(range(head - last, head - first + 1))
        if len(missing) > MOST:
            raise ValueError(f"names more than {MOST} gaps")
        return cls(head, frozenset(missing))


def _spans(text: str) -> Iterable[tuple[int, int]]:
    for span in filter(None, text.split(",")):
        first, _, last = span.partition("-")
        yield int(first), int(last or first)


def _ranges(ordered: list[int]) -> Iterable[str]:
    begin = ordered[0]
    for one, then in pairwise([*ordered, ordered[-1] + 2]):
        if then != one + 1:
            yield str(begin) if begin == one else f"{begin}-{one}"
            begin = then
