"""`manage.py desk` on a terminal of its own, and what it says before it opens."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.web.terminal.conftest import SIZE, Trader

ROOT = Path(__file__).parents[3]
PATIENCE = 60.0


def until(screen: int, words: bytes, seen: bytes = b"") -> bytes:
    """Read a terminal until the words stood on it."""
    deadline = time.monotonic() + PATIENCE
    while words not in seen:
        assert time.monotonic() < deadline, seen[-2000:]
        if select.select([screen], [], [], 0.2)[0]:
            try:
                seen += os.read(screen, 65536)
            except OSError:
                raise AssertionError(f"it ended: {seen[-2000:]!r}") from None
    return seen


def test_it_opens_on_a_terminal_and_leaves_it_as_it_was(trader: Trader, database_url: str, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(f"{trader.token}\n")
    secret.chmod(0o600)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
    words = [sys.executable, "manage.py", "desk", "--address", trader.address, "--token-file", str(secret)]
    environment = {**os.environ, "DATABASE_URL": database_url, "TERM": "xterm-256color"}
    process = subprocess.Popen(
        words, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        seen = until(ours, b"ACTIVE")
        os.write(ours, b"2")
        seen = until(ours, b"BTC-USD", seen)
        os.write(ours, b"q")
        seen = until(ours, b"\x1b[?1049l", seen)  # back from the other screen
        assert process.wait(30) == 0
        assert trader.token.encode() not in seen
        assert re.search(rb"Traceback|Warning", seen) is None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--address", "http://example.org"], "in the clear"),
        (["--address", "ftp://example.org"], "is not the address of a site"),
        (["--token-file", "/nowhere/token"], "No such file"),
        (["--token-file", "{open}"], "chmod 600"),
        (["--token-file", "{empty}"], "That is no token"),
        (["--token-file", "{good}"], "needs a terminal"),
        ([], "No token: name a file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_says_what_it_lacks(words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRADINGSITE_TOKEN", raising=False)
    for name, text, mode in (("open", "ts_x", 0o644), ("empty", " \n", 0o600), ("good", "ts_x\n", 0o600)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    places = {name: str(tmp_path / name) for name in ("open", "empty", "good")}
    with pytest.raises(CommandError, match=re.escape(said)):
        call_command("desk", *(word.format(**places) for word in words))
