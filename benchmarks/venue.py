"""Holding the venue process: start it, tell it what to send, end it."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.stage import ROOT


class Venue:
    """A venue in a process of its own, so that sending takes nothing from whoever is measured."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.url = f"ws://127.0.0.1:{self._answer()['port']}"

    def blast(self, count: int, products: Sequence[str]) -> int:
        """Have every later subscriber flooded with `count` tickers; return their length in bytes."""
        return int(self._ask({"blast": count, "products": list(products)})["bytes"])

    def ready(self) -> bool:
        """Say whether somebody has subscribed."""
        return bool(self._ask({"ready": True})["ready"])

    def forget(self) -> None:
        """Forget the floods so far: `flooded` is about a later one."""
        self._ask({"forget": True})

    def flooded(self) -> float:
        """Wait until the newest subscriber has taken its whole flood and return the seconds that took."""
        return float(self._ask({"flooded": True})["seconds"])

    def play(self, ticks: Sequence[tuple[str, str]], rate: float) -> dict[str, float]:
        """Send (product, price) ticks at a steady rate to the newest subscriber and wait for the last."""
        return self._ask({"play": list(ticks), "rate": rate})

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the venue's process has ended")
        found: dict[str, Any] = json.loads(line)
        return found


@contextlib.contextmanager
def running() -> Iterator[Venue]:
    """Run a venue."""
    pipe = subprocess.PIPE
    argv = [sys.executable, "-m", "benchmarks.source"]
    with subprocess.Popen(argv, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Venue(process)
        finally:
            process.kill()
