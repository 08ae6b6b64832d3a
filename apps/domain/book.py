"""Every exit level of one instrument, and which legs a price triggers."""

from collections.abc import Iterable
from math import inf
from typing import NamedTuple

from apps.domain.ladder import Ladder
from apps.domain.legs import LegKind
from apps.domain.trails import Trail, Trails


class Watch(NamedTuple):
    """What the book needs to know of one live leg, in floats; `peak` is the best price so far, where one is kept.

    A break-even or trailing leg with an `activation` sleeps until a price has been that good; with a `peak` at or
    beyond the activation it is awake already. `root` is the leg under which a shared watermark is stored.
    """

    leg_id: int
    sign: int
    kind: str
    level: float | None = None
    activation: float | None = None
    trail: float | None = None
    is_rate: bool = False
    peak: float | None = None
    root: int | None = None


class Fired(NamedTuple):
    """A leg that a price triggered, with the best price before it where the leg depends on one."""

    leg_id: int
    peak: float | None


class Book:
    """The exit levels of one instrument behind two numbers.

    No leg triggers, wakes or trails further while `low < price < high`: that comparison is the whole cost of a tick
    that changes nothing, whatever the number of positions. Not thread-safe: the owner locks.
    """

    __slots__ = ("_asleep", "_falling", "_rising", "_trails", "_woken_at", "high", "low", "woken")

    def __init__(self) -> None:
        self._rising = Ladder(rising=True)
        self._falling = Ladder(rising=False)
        self._trails = {1: Trails(1), -1: Trails(-1)}
        self._asleep: dict[int, Watch] = {}
        self._woken_at: dict[int, float] = {}
        self.woken: dict[int, float] = {}  # legs that woke since last collected, with the price that woke them
        self.low = -inf
        self.high = inf

    def __len__(self) -> int:
        return len(self._rising) + len(self._falling) + len(self._trails[1]) + len(self._trails[-1])

    def __contains__(self, leg_id: int) -> bool:
        return any(leg_id in part for part in (self._rising, self._falling, self._trails[1], self._trails[-1]))

    def add(self, watch: Watch, *, moved: bool = False) -> None:
        """Watch one leg; a leg that is watched already stays as it is. Time stops are not a matter of price.

        `moved` says that its best price is news to the store, so that it is collected with the others.
        """
        if watch.leg_id not in self:
            self._place(watch, moved=moved)
            if moved and watch.peak is not None and watch.kind != LegKind.TRAILING_STOP:
                self.woken[watch.leg_id] = watch.peak
            self._look()

    def load(self, watches: Iterable[Watch]) -> None:
        """Watch many legs at once, for a start with a large book."""
        rising, falling, trails = [], [], {1: [], -1: []}  # type: ignore[var-annotated]  # filled below
        for watch in watches:
            if watch.activation is not None:
                self.add(watch)
            elif watch.kind == LegKind.TRAILING_STOP:
                trails[watch.sign].append((_trail(watch), watch.root or watch.leg_id))
            elif watch.level is not None:
                (rising if _rises(watch) else falling).append((watch.leg_id, watch.level))
        self._rising.load(rising)
        self._falling.load(falling)
        for sign, items in trails.items():
            self._trails[sign].load(items)
        self._look()

    def load_levels(self, rises: bool, levels: Iterable[tuple[int, float]]) -> None:
        """Watch many (leg, level) at once that trigger in one direction and rest where they are."""
        (self._rising if rises else self._falling).load(levels)
        self._look()

    def discard(self, leg_id: int) -> bool:
        """Stop watching a leg; say whether it was watched."""
        self._asleep.pop(leg_id, None)
        self._woken_at.pop(leg_id, None)
        parts = (self._rising, self._falling, self._trails[1], self._trails[-1])
        found = [part.discard(leg_id) for part in parts]
        self._look()
        return any(found)

    def cross(self, price: float, *, marks: bool = True) -> list[Fired]:
        """Remove and return the legs that `price` triggers, waking and trailing on the way.

        With `marks` off (an off-market print) nothing wakes and no trailing stop moves, but stops still trigger.
        """
        fired = self._ladder(self._rising, price, marks) + self._ladder(self._falling, price, marks)
        for sign, trails in self._trails.items():
            if marks and (price - trails.turn) * sign > 0:
                trails.lift(price)
            if (trails.guard - price) * sign >= 0:
                fired += [Fired(leg_id, peak) for leg_id, peak in trails.take(price)]
        self._look()
        return fired

    def collect(self) -> tuple[dict[int, float], dict[int, int]]:
        """Return and forget what changed of the watermarks: peaks by leg, and which leg rides with which."""
        peaks = self.woken
        rides: dict[int, int] = {}
        for trails in self._trails.values():
            peaks |= trails.moved
            rides |= trails.merged
            trails.moved, trails.merged = {}, {}
        self.woken = {}
        return peaks, rides

    def peaks(self) -> dict[int, float]:
        """Return the best price of every group of trailing legs by its root leg, and of every woken leg."""
        return {**self._trails[1].peaks(), **self._trails[-1].peaks(), **self._woken_at}

    def _ladder(self, ladder: Ladder, price: float, marks: bool) -> list[Fired]:
        fired, slept = [], []
        for leg_id in ladder.take(price):
            watch = self._asleep.get(leg_id)
            if watch is None:
                fired.append(Fired(leg_id, self._woken_at.pop(leg_id, None)))
            elif marks:
                del self._asleep[leg_id]
                self._wake(watch, price)
            else:
                slept.append(watch)
        for watch in slept:
            self._place(watch)
        return fired

    def _wake(self, watch: Watch, price: float) -> None:
        self.woken[watch.leg_id] = price
        self._place(watch._replace(peak=price, root=watch.leg_id))

    def _place(self, watch: Watch, *, moved: bool = False) -> None:
        if watch.activation is not None and not _awake(watch):
            self._asleep[watch.leg_id] = watch
            (self._rising if watch.sign > 0 else self._falling).add(watch.leg_id, watch.activation)
        elif watch.kind == LegKind.TRAILING_STOP:
            self._trails[watch.sign].add(_trail(watch), watch.root, moved=moved)
        elif watch.level is not None:
            if watch.peak is not None:
                self._woken_at[watch.leg_id] = watch.peak
            (self._rising if _rises(watch) else self._falling).add(watch.leg_id, watch.level)

    def _look(self) -> None:
        longs, shorts = self._trails[1], self._trails[-1]
        self.low = max(self._falling.nearest, longs.guard, shorts.turn)
        self.high = min(self._rising.nearest, shorts.guard, longs.turn)


def _rises(watch: Watch) -> bool:
    """Say whether the leg triggers on a rising price: a long's target or a short's stop."""
    return (watch.kind == LegKind.TAKE_PROFIT) == (watch.sign > 0)


def _awake(watch: Watch) -> bool:
    return watch.peak is not None and watch.activation is not None and (watch.peak - watch.activation) * watch.sign >= 0


def _trail(watch: Watch) -> Trail:
    if watch.trail is None or watch.peak is None:
        raise ValueError(f"leg {watch.leg_id} trails without a distance or a best price")
    return Trail(watch.leg_id, watch.trail, watch.is_rate, watch.peak)
