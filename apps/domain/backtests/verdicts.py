"""What a search for leaks answers: which output leaks, from which bar on, and where it comes from."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What is wrong."""

    LOOK_AHEAD = "look-ahead"  # a bar's answer depends on later bars
    WARM_UP = "warm-up"  # it depends on more earlier bars than declared
    EARLY = "early"  # it is not flat although fewer bars than declared are there
    UNSTABLE = "unstable"  # the same candles get two answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """One output column that leaks: the first bar at which it was seen, and where it comes from.

    `inputs` are the columns whose future the output depends on; empty for look-ahead when only the number of bars
    matters. `needs` is how many bars a warm-up would have to be for that bar.
    """

    kind: Kind
    output: str
    bar: int  # index into the candles
    at: int  # when that bar began, seconds since the epoch
    inputs: tuple[str, ...] = ()
    needs: int | None = None

    @property
    def sentence(self) -> str:
        """Say it to a person."""
        began = datetime.fromtimestamp(self.at, UTC).isoformat().replace("+00:00", "Z")
        where = f"{self.output} of bar {self.bar} ({began})"
        match self.kind:
            case Kind.LOOK_AHEAD:
                of = f"later values of {', '.join(self.inputs)}" if self.inputs else "how many bars follow"
                return f"{where} depends on {of}"
            case Kind.WARM_UP:
                return f"{where} depends on bars before the declared warm-up: it needs {self.needs} bars"
            case Kind.EARLY:
                return f"{where} is not flat before the declared warm-up is over"
            case Kind.UNSTABLE:
                return f"{where} differs when asked twice about the same candles"

    def as_json(self) -> dict[str, Any]:
        """Return everything with plain keys and values."""
        return {
            "kind": str(self.kind),
            "output": self.output,
            "bar": self.bar,
            "at": self.at,
            "inputs": list(self.inputs),
            "needs": self.needs,
            "sentence": self.sentence,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found, and how hard it was looked for."""

    leaks: tuple[Leak, ...]
    bars: int
    warmup: int
    outputs: tuple[str, ...]
    runs: int  # how often the strategy was asked

    @property
    def clean(self) -> bool:
        """Say whether nothing leaks."""
        return not self.leaks
