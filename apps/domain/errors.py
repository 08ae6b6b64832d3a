"""The two families of errors this product expects.

Refused       a rule said no: shown to the person, recorded, not retried
Unavailable   the outside world did not answer: retried, unless it is permanent

Everything else is a bug and is loud.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with an input: which field, what it held, the rule it breaks, and what to do."""

    field: str
    value: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field}: {self.value}: {self.rule}; {self.remedy}"


class Refused(Exception):
    """A rule said no; nothing was stored. Carries every problem found, not only the first."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(" · ".join(map(str, problems)))
        self.problems = problems


class Unavailable(Exception):
    """Something outside did not answer as it should; `permanent` says that trying again is pointless."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent
