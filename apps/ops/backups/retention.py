"""Which backups are kept: the newest of each of so many days, weeks and months that have one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How many days, weeks (Monday to Sunday) and months are kept, by UTC."""

    days: int
    weeks: int
    months: int


def kept(taken: Mapping[str, datetime], keep: Keep) -> set[str]:
    """Name the backups to keep of those taken; the newest of all is always among them."""
    newest_first = sorted(taken, key=lambda name: (taken[name], name), reverse=True)
    rules: Iterable[tuple[int, Callable[[datetime], tuple[int, ...]]]] = (
        (keep.days, lambda at: (at.year, at.month, at.day)),
        (keep.weeks, lambda at: tuple(at.isocalendar())[:2]),
        (keep.months, lambda at: (at.year, at.month)),
    )
    found = set(newest_first[:1])
    for count, period_of in rules:
        newest: dict[tuple[int, ...], str] = {}
        for name in newest_first:
            newest.setdefault(period_of(taken[name].astimezone(UTC)), name)
        found |= set(list(newest.values())[:count])
    return found
