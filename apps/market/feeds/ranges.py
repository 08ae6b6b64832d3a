"""Ranges of trade ids, both ends included: what is missing, what is still missing."""

from collections.abc import Collection, Iterable

Range = tuple[int, int]


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Return the same ids as sorted ranges that neither overlap nor touch."""
    result: list[Range] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result


def without(ranges: Iterable[Range], found: Collection[int]) -> list[Range]:
    """Return what is left of the ranges when the found ids are taken out."""
    marks = sorted(set(found))
    result: list[Range] = []
    for first, last in ranges:
        start = first
        for mark in marks:
            if first <= mark <= last:
                if mark > start:
                    result.append((start, mark - 1))
                start = mark + 1
        if start <= last:
            result.append((start, last))
    return result


def holds(ranges: Iterable[Range], trade_id: int) -> bool:
    """Say whether an id lies in one of the ranges."""
    return any(first <= trade_id <= last for first, last in ranges)


def width(ranges: Iterable[Range]) -> int:
    """Return how many ids the ranges hold."""
    return sum(last - first + 1 for first, last in ranges)
