"""Figures of the site as plain values, and the port by which apps further down add theirs to the page of them."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

Labels = tuple[tuple[str, str], ...]


class Figure(NamedTuple):
    """One metric without its prefix: what it says, and its value for each set of labels."""

    name: str
    text: str
    values: Mapping[Labels, float]


Source = Callable[[datetime], Iterable[Figure]]
_sources: dict[str, Source] = {}


def install(name: str, source: Source) -> None:
    """Let a source be asked whenever figures are; the same name twice is the same source."""
    _sources[name] = source


def installed(now: datetime) -> list[Figure]:
    """Ask every installed source. Raises what the database raises."""
    return [figure for name in sorted(_sources) for figure in _sources[name](now)]


def one(name: str, text: str, value: float) -> Figure:
    """Return a figure without labels."""
    return Figure(name, text, {(): float(value)})


def by(name: str, text: str, label: str, values: Mapping[str, float]) -> Figure:
    """Return a figure with one label."""
    return Figure(name, text, {((label, key),): float(value) for key, value in values.items()})
