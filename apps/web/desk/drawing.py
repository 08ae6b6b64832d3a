"""Lines and bars as plain numbers for SVG: no style attribute, so that a strict policy lets them through."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 600
HEIGHT: Final = 120
_EDGE: Final = 4  # keeps the thick of a line inside the picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A polyline of a series, with the area under it, and the values at its ends."""

    points: str
    area: str
    lowest: float
    highest: float
    first: float
    last: float
    width: int = WIDTH
    height: int = HEIGHT

    @classmethod
    def of(cls, values: Sequence[float]) -> "Line":
        """Draw at least two values at equal distances."""
        low, high = min(values), max(values)
        across = WIDTH / (len(values) - 1)
        tall = (HEIGHT - 2 * _EDGE) / ((high - low) or 1.0)
        middle = HEIGHT / 2 if high == low else None
        places = [
            (number * across, middle if middle is not None else HEIGHT - _EDGE - (value - low) * tall)
            for number, value in enumerate(values)
        ]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        area = f"0,{HEIGHT} {points} {WIDTH},{HEIGHT}"
        return cls(points=points, area=area, lowest=low, highest=high, first=values[0], last=values[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar of a histogram: how many, and how long it is drawn, 0 to 100."""

    label: str
    count: int
    length: float


def bars(labels: Sequence[str], counts: Sequence[int]) -> list[Bar]:
    """Draw counts beside each other, the largest in full length."""
    most = max(counts, default=0) or 1
    return [
        Bar(label=label, count=count, length=round(100 * count / most, 2))
        for label, count in zip(labels, counts, strict=True)
    ]
