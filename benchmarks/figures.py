"""What a benchmark answers: one table with its goals, shown on a terminal or written into the README."""

import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

README = Path(__file__).with_name("README.md")
Cell = str | int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """Something a figure is measured against."""

    text: str
    value: float
    limit: float
    at_most: bool = False

    @property
    def is_met(self) -> bool:
        """Say whether the figure is on the right side of the limit."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def line(self) -> str:
        """Write the goal with its answer."""
        sign = "<=" if self.at_most else ">="
        return (
            f"{self.text}: {shown(self.value)} (goal {sign} {shown(self.limit)}, {'met' if self.is_met else 'MISSED'})"
        )


@dataclass(slots=True, kw_only=True)
class Table:
    """The answer of one benchmark."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """Write the table for the README."""
        head = f"| {' | '.join(self.columns)} |\n|{'---|' * len(self.columns)}\n"
        body = "".join(f"| {' | '.join(shown(cell) for cell in row)} |\n" for row in self.rows)
        rest = "".join(f"- {line}\n" for line in [*(goal.line() for goal in self.goals), *self.notes])
        return f"{self.title}\n\n{head}{body}\n{rest}"

    def text(self) -> str:
        """Write the table for a terminal."""
        lines = [list(self.columns), *([shown(cell) for cell in row] for row in self.rows)]
        widths = [max(len(line[index]) for line in lines) for index in range(len(self.columns))]
        body = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        rest = [f"- {line}" for line in [*(goal.line() for goal in self.goals), *self.notes]]
        return "\n".join([self.title, "", *body, "", *rest])

    def facts(self) -> dict[str, object]:
        """Return the table for JSON."""
        return {
            "title": self.title,
            "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows],
            "goals": [
                {"goal": goal.text, "value": goal.value, "limit": goal.limit, "met": goal.is_met} for goal in self.goals
            ],
            "notes": self.notes,
        }


def shown(cell: Cell) -> str:
    """Write a figure with three significant digits, whole numbers with separators."""
    if isinstance(cell, float):
        if abs(cell) >= 1000:
            return f"{float(f'{cell:.3g}'):,.0f}"
        return f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def median(values: Iterable[float]) -> float:
    """Return the median as a float."""
    return float(statistics.median(values))


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def write(name: str, text: str) -> None:
    """Put a text between its marks in the README. Raises RuntimeError when there are none."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before = README.read_text()
    if begin not in before or end not in before:
        raise RuntimeError(f"benchmarks/README.md has no place for {name}: add {begin} and {end}")
    block = f"{begin}\n{text}{end}"
    README.write_text(re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: block, before, flags=re.DOTALL))
