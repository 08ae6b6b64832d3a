"""What an invariant is: one thing that must always hold, and what was found of it."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """One thing that must hold: its number, a sentence, and a query for what breaks it."""

    id: str
    name: str
    query: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How often an invariant is broken, with the first few rows that break it."""

    id: str
    name: str
    violations: int
    examples: list[list[str]] = field(default_factory=list)
