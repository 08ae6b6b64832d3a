"""Runs of `manage.py up` as from a terminal, and what is left of them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.flow.worlds import ROOT, eventually

MANAGE = [sys.executable, str(ROOT / "manage.py")]


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment without servers of ours: embedded ones in `home`, free ports, the demo."""
    own = {"TRADINGSITE_VAR": str(home), "DATABASE_URL": "", "REDIS_URL": ""}
    ports = {"WEB_PORT": "0", "FLOWER_PORT": "0", "SIMULATOR_PORT": "0"}
    return {**os.environ, **own, **ports, "TRADINGSITE_EMBEDDED": "", **more}


class Up:
    """One run of the command in a session of its own, as from a terminal."""

    def __init__(self, home: Path, *words: str, **more: str) -> None:
        self.home = home
        self.errors = home / "up.stderr"
        with self.errors.open("wb") as file:
            self.process = subprocess.Popen(
                [*MANAGE, "up", "--headless", *words],
                cwd=ROOT,
                env=environment(home, **more),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.errors.read_text()

    def address(self) -> str:
        """Wait until it is ready and return where the site answers."""
        eventually(lambda: "Ready in" in self.said() or self.process.poll() is not None, 90, self.said)
        assert self.process.poll() is None, self.said()
        return str(json.loads((self.home / "up.lock").read_text())["address"])

    def interrupt(self) -> tuple[float, str]:
        """Press Ctrl-C; return the seconds until it ended and what it printed."""
        began = time.monotonic()
        os.killpg(self.process.pid, signal.SIGINT)
        out, _ = self.process.communicate(timeout=30)
        return time.monotonic() - began, out


def survivors(home: Path) -> list[str]:
    """Return the command lines of processes that belong to a state directory, its servers included."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = " ".join(process.cmdline())
            if process.pid != os.getpid() and (
                str(home) in words or process.environ().get("TRADINGSITE_VAR") == str(home)
            ):
                found.append(f"{process.pid} {words[:150]}")
    return found


@contextmanager
def running(home: Path, *words: str, **more: str) -> Iterator[Up]:
    up = Up(home, *words, **more)
    try:
        yield up
    finally:
        if up.process.poll() is None:
            up.process.kill()
        up.process.communicate()
        eventually(lambda: not survivors(home), 30, lambda: "\n".join(survivors(home)))
