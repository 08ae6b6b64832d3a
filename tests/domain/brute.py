"""The slow way to watch levels: every leg looked at on every tick, in Decimal, with the rules the product states."""

from dataclasses import dataclass, field
from decimal import Decimal

from apps.domain.book import Book, Watch
from apps.domain.legs import Leg, LegKind, triggers
from apps.domain.sides import Side


@dataclass
class Slow:
    """One leg as a person would watch it."""

    leg_id: int
    leg: Leg
    side: Side
    peak: Decimal | None  # None while it sleeps

    @property
    def follows(self) -> bool:
        return self.leg.kind in (LegKind.TRAILING_STOP, LegKind.BREAK_EVEN)

    def see(self, price: Decimal, *, marks: bool) -> bool:
        """Take in one price; say whether it triggers the leg."""
        if self.follows and marks:
            self._follow(price)
        return triggers(self.leg, self.side, price, self.peak)

    def _follow(self, price: Decimal) -> None:
        sign, activation = self.side.sign, self.leg.activation
        if self.peak is None:
            if activation is None or (price - activation) * sign >= 0:
                self.peak = price
        elif (price - self.peak) * sign > 0 and self.leg.kind == LegKind.TRAILING_STOP:
            self.peak = price

    def watch(self, root: int | None = None) -> Watch:
        leg = self.leg
        return Watch(
            leg_id=self.leg_id,
            sign=self.side.sign,
            kind=leg.kind,
            level=_float(leg.level),
            activation=_float(leg.activation),
            trail=_float(leg.trail),
            is_rate=leg.trail_is_rate,
            peak=_float(self.peak),
            root=root,
        )


@dataclass
class SlowBook:
    """Every leg of one instrument."""

    legs: dict[int, Slow] = field(default_factory=dict)

    def cross(self, price: Decimal, *, marks: bool) -> set[tuple[int, Decimal | None]]:
        fired = {leg_id: leg for leg_id, leg in self.legs.items() if leg.see(price, marks=marks)}
        for leg_id in fired:
            del self.legs[leg_id]
        return {(leg_id, leg.peak if leg.follows else None) for leg_id, leg in fired.items()}


@dataclass
class Shelf:
    """What the database would hold of the watermarks: a peak per leg, and whom it rides with."""

    peaks: dict[int, float | None] = field(default_factory=dict)
    rides: dict[int, int] = field(default_factory=dict)

    def take(self, book: Book) -> None:
        """Store what a book says has changed, the way the listener does it."""
        peaks, rides = book.collect()
        self.rides |= rides
        for leg_id, peak in peaks.items():
            if leg_id not in rides:
                self.peaks[leg_id] = peak
                self.rides.pop(leg_id, None)

    def lead(self, book: Book) -> None:
        """Store everything a new leader knows."""
        self.take(book)
        for leg_id, peak in book.peaks().items():
            self.peaks[leg_id] = peak
            self.rides.pop(leg_id, None)

    def mark(self, leg_id: int) -> tuple[int, float | None]:
        """Return the root of a leg and its peak."""
        root = leg_id
        for _ in range(len(self.rides) + 1):
            if root not in self.rides:
                return root, self.peaks.get(root)
            root = self.rides[root]
        raise AssertionError(f"leg {leg_id} rides in a circle: {self.rides}")


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def exact(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(repr(value))
