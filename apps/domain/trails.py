"""Exact trailing stops at constant cost: positions that ride the same best price share one watermark."""

from bisect import bisect_left
from collections.abc import Iterable
from decimal import Decimal
from heapq import heapify, heappop, heappush
from math import inf
from typing import NamedTuple

# Float arithmetic on a level may be off in the last place; candidates within this rate are decided in Decimal.
_SLACK = 1e-12


class Trail(NamedTuple):
    """One trailing stop: its leg, its distance (price units, or a rate), and the best price it has seen."""

    leg_id: int
    distance: float
    is_rate: bool
    peak: float


class _Group:
    """Trails that share one peak. Coordinates are oriented: prices times the sign, so that higher is always better."""

    __slots__ = ("below", "by_distance", "by_rate", "level", "peak", "root")

    def __init__(self, peak: float, root: int) -> None:
        self.peak = peak
        self.root = root  # the leg under whose id the watermark is stored
        self.by_distance: list[tuple[float, int]] = []
        self.by_rate: list[tuple[float, int]] = []
        self.level = -inf  # the nearest stop in this group, oriented, with slack
        self.below = -inf  # an upper bound of the nearest stop in all groups with a better peak

    def __len__(self) -> int:
        return len(self.by_distance) + len(self.by_rate)

    def measure(self) -> None:
        """Recompute the nearest stop from the peak and the shortest trail of each kind."""
        level, size = -inf, abs(self.peak)
        if self.by_distance:
            level = self.peak - self.by_distance[0][0]
        if self.by_rate:
            level = max(level, self.peak - size * self.by_rate[0][0])
        self.level = level + size * _SLACK

    def absorb(self, other: "_Group") -> None:
        """Take over the other group's trails; each trail moves at most log n times over its life."""
        self.by_distance = _merged(self.by_distance, other.by_distance)
        self.by_rate = _merged(self.by_rate, other.by_rate)


def _merged(first: list[tuple[float, int]], second: list[tuple[float, int]]) -> list[tuple[float, int]]:
    large, small = (first, second) if len(first) >= len(second) else (second, first)
    if len(small) * 8 > len(large):
        large.extend(small)
        heapify(large)
    else:
        for entry in small:
            heappush(large, entry)
    return large


class Trails:
    """All trailing stops of one instrument and side.

    Groups stand in a stack by peak, best first. A price beyond the last peak raises it, merging the groups it passes,
    so each new best price costs O(1) amortised; `guard` is a price no trail triggers before. Source of the idea: the
    suffix maxima of a price series form a monotone stack.
    """

    __slots__ = ("_groups", "_legs", "_rooted", "_sign", "guard", "merged", "moved", "turn")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._groups: list[_Group] = []
        self._legs: set[int] = set()
        self._rooted: dict[int, _Group] = {}  # the groups by their root: each leg is the root of one at most
        self.guard = -inf * sign  # price at or beyond which a trail may trigger
        self.turn = inf * sign  # price beyond which a peak rises
        self.moved: dict[int, float] = {}  # root leg -> peak raised since last collected
        self.merged: dict[int, int] = {}  # former root leg -> the root it rides with from now on

    def __len__(self) -> int:
        return len(self._legs)

    def __contains__(self, leg_id: int) -> bool:
        return leg_id in self._legs

    def add(self, trail: Trail, root: int | None = None, *, moved: bool = False) -> None:
        """Watch one trail from its own peak, or again with the group it has ridden with: `root` as it was stored.

        A trail that comes back has seen the prices its group has, so the group's peak is its own. Where that group is
        not here it stands for itself: to merge a stored group into another for the sake of one of its riders would
        move the others, and two such moves can make groups ride each other. `moved` says that its peak is news.
        """
        if trail.leg_id in self._legs:
            return
        home = self._rooted.get(trail.leg_id if root is None else root, self._rooted.get(trail.leg_id))
        if home is not None:
            self._return(home, trail)
        else:
            self._insert(trail, is_news=moved or root not in (None, trail.leg_id))
        self._look()

    def load(self, trails: Iterable[tuple[Trail, int]]) -> None:
        """Watch many trails at once; each comes with the root leg its watermark is stored under."""
        groups = {group.peak: group for group in self._groups}
        for trail, root in trails:
            if trail.leg_id not in self._legs:
                peak = trail.peak * self._sign
                group = groups.get(peak) or groups.setdefault(peak, self._group(peak, root))
                self._enter(group, trail, root)
        self._groups = sorted(groups.values(), key=lambda group: -group.peak)
        for group in self._groups:
            heapify(group.by_distance)
            heapify(group.by_rate)
            group.measure()
        self._restack(0)
        self._look()

    def discard(self, leg_id: int) -> bool:
        """Stop watching a leg; its entry is dropped when it comes up. Say whether it was watched."""
        if leg_id not in self._legs:
            return False
        self._legs.discard(leg_id)
        return True

    def lift(self, price: float) -> None:
        """Raise every peak that `price` is better than; call it when `price` is beyond `turn`."""
        x, groups = price * self._sign, self._groups
        top = None
        while groups and groups[-1].peak <= x:  # an equal peak joins too: two groups never share one
            group = groups.pop()
            top = group if top is None else self._join(top, group)
        if top is not None:
            top.peak = x
            self._note(top.root, price)
            self._push(top)
        self._look()

    def take(self, price: float) -> list[tuple[int, float]]:
        """Remove the trails that `price` triggers; return each leg with the peak that decided."""
        x, taken, groups, index = price * self._sign, [], self._groups, len(self._groups) - 1
        while index >= 0:
            group = groups[index]
            if group.level >= x:
                fired = self._pop(group, group.by_distance, x, is_rate=False)
                fired += self._pop(group, group.by_rate, x, is_rate=True)
                taken += [(leg_id, group.peak * self._sign) for leg_id in fired]
                group.measure()
            if group.below < x:
                break
            index -= 1
        index = max(index, 0)
        for group in groups[index:]:
            if not group:
                self._rooted.pop(group.root, None)
        groups[index:] = [group for group in groups[index:] if group]
        self._restack(index)
        self._look()
        return taken

    def peaks(self) -> dict[int, float]:
        """Return the peak of every group by its root leg."""
        return {group.root: group.peak * self._sign for group in self._groups}

    def _pop(self, group: _Group, heap: list[tuple[float, int]], x: float, *, is_rate: bool) -> list[int]:
        price, peak, reach = _exact(x), _exact(group.peak), abs(group.peak)
        fired: list[int] = []
        kept: list[tuple[float, int]] = []
        while heap:
            distance, leg_id = heap[0]
            if leg_id in self._legs and group.peak - distance * (reach if is_rate else 1.0) + reach * _SLACK < x:
                break
            heappop(heap)
            if leg_id not in self._legs:
                continue
            trail = _exact(distance) * (abs(peak) if is_rate else 1)
            if peak - trail >= price:
                self._legs.discard(leg_id)  # at once: a leg that was forgotten and came back stands here twice
                fired.append(leg_id)
            else:
                kept.append((distance, leg_id))
        for entry in kept:
            heappush(heap, entry)
        return fired

    def _insert(self, trail: Trail, *, is_news: bool) -> None:
        peak = trail.peak * self._sign
        at = self._index(peak)
        if at == len(self._groups) or self._groups[at].peak != peak:
            self._groups.insert(at, self._group(peak, trail.leg_id))
            if is_news:
                self._note(trail.leg_id, trail.peak)
        self._put(at, trail, trail.leg_id)

    def _return(self, home: _Group, trail: Trail) -> None:
        """Let a trail ride again; its group's peak is written once more, in case the store has the root as a rider."""
        self._note(home.root, home.peak * self._sign)
        self._put(self._index(home.peak), trail, home.root)

    def _note(self, root: int, peak: float) -> None:
        """Remember a peak for the store; whoever has one of its own rides with nobody."""
        self.merged.pop(root, None)
        self.moved[root] = peak

    def _index(self, peak: float) -> int:
        return bisect_left(self._groups, -peak, key=lambda group: -group.peak)

    def _put(self, at: int, trail: Trail, root: int) -> None:
        group = self._groups[at]
        self._enter(group, trail, root)
        heap = group.by_rate if trail.is_rate else group.by_distance
        heappush(heap, heap.pop())
        group.measure()
        self._restack(at)

    def _group(self, peak: float, root: int) -> _Group:
        group = self._rooted[root] = _Group(peak, root)
        return group

    def _enter(self, group: _Group, trail: Trail, root: int) -> None:
        (group.by_rate if trail.is_rate else group.by_distance).append((trail.distance, trail.leg_id))
        self._legs.add(trail.leg_id)
        if root != group.root:
            self.moved.pop(root, None)
            self.merged[root] = group.root

    def _join(self, first: _Group, second: _Group) -> _Group:
        large, small = (first, second) if len(first) >= len(second) else (second, first)
        large.absorb(small)
        if small.root != large.root:
            self.merged[small.root] = large.root
            self.moved.pop(small.root, None)
            self._rooted.pop(small.root, None)
        return large

    def _push(self, group: _Group) -> None:
        group.measure()
        self._groups.append(group)
        self._restack(len(self._groups) - 1)

    def _restack(self, start: int) -> None:
        groups = self._groups
        for index in range(start, len(groups)):
            under = groups[index - 1] if index else None
            groups[index].below = max(under.below, under.level) if under else -inf

    def _look(self) -> None:
        if not self._groups:
            self.guard, self.turn = -inf * self._sign, inf * self._sign
            return
        top = self._groups[-1]
        self.guard, self.turn = max(top.level, top.below) * self._sign, top.peak * self._sign


def _exact(value: float) -> Decimal:
    """Return the decimal number a price float stands for; exact because prices carry at most 15 digits."""
    return Decimal(repr(value))
