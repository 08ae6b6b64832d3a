"""Which process of the site is this? Its supervisor says so; started by hand, its command line does."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

VARIABLE: Final = "PROCESS_NAME"
COMMANDS: Final = ("listener", "sweeper", "telegram")  # those of manage.py that are processes of the site


def of(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    """Name a process by its environment or its command line; empty for what only runs a command and ends."""
    if given := environment.get(VARIABLE, ""):
        return given
    program, words = "/".join(Path(argv[0]).parts[-2:]) if argv else "", argv[1:]
    if "uvicorn" in program:
        return "web"
    if "celery" in program:
        return next((kind for kind in ("worker", "beat") if kind in words), "")
    return words[0] if program.endswith("manage.py") and words and words[0] in COMMANDS else ""


def of_this_process() -> str:
    """Name this process; empty when it is no process of the site."""
    return of(sys.argv, os.environ)
