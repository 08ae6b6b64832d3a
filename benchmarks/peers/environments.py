"""An environment per peer under var/bench-peers, made on first use: peers and product need different versions."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple

from benchmarks.stage import ROOT

PLACE = ROOT / "var" / "bench-peers"
PEERS = ("vectorbt", "backtesting", "backtrader", "nautilus_trader")
PATIENCE = 900  # seconds for one installation


class Environment(NamedTuple):
    """Where a peer's Python is, or why there is none."""

    python: Path
    absent: str


def ready(peer: str) -> Environment:
    """Return the environment of a peer with exactly what its requirements file names, installing it when need be."""
    asked = Path(__file__).with_name(f"requirements-{peer}.txt")
    folder = PLACE / peer
    stamp, python = folder / "installed.txt", folder / "bin" / "python"
    if stamp.is_file() and stamp.read_text() == asked.read_text():
        return Environment(python, "")
    print(f"installing {peer} into {folder.relative_to(ROOT)}", file=sys.stderr, flush=True)
    absent = _install(folder, python, asked)
    if absent:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        stamp.write_text(asked.read_text())
    return Environment(python, absent)


def _install(folder: Path, python: Path, asked: Path) -> str:
    """Install into an empty environment; return what went wrong, in a few words."""
    venv.create(folder, clear=True, with_pip=True)
    words = ["install", "--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "20", "-r", str(asked)]
    try:
        done = subprocess.run(
            [python, "-m", "pip", *words], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return f"not installed within {PATIENCE} s"
    if not done.returncode:
        return ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return f"cannot be installed ({(errors or ['pip failed'])[0][:100]})"
