"""Where the measured recoveries go: on the screen with -s, and as JSON lines into the file of FAULT_FIGURES."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "FAULT_FIGURES"


@dataclass(frozen=True, slots=True)
class Figure:
    """One fault: how many crossed positions it saw, the worst close, and the bound it had to keep."""

    fault: str
    crossed: int
    worst_seconds: float
    bound_seconds: float


def record(figure: Figure) -> None:
    """Print a figure, and keep it when somebody collects them."""
    print(
        f"\n  {figure.fault:62} {figure.crossed:5d} crossed   worst {figure.worst_seconds:6.3f} s   "
        f"bound {figure.bound_seconds:4.1f} s"
    )
    if path := os.environ.get(VARIABLE):
        with Path(path).open("a") as file:
            file.write(json.dumps(asdict(figure)) + "\n")
