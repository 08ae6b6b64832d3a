"""Sees to it that no child outlives its supervisor, even one killed with -9.

A small process of its own reads a pipe that only the supervisor (and a child that is just starting) holds open for
writing. Each child registers itself there before it becomes its program, so there is no moment in which a child runs
unregistered. When the pipe closes without a goodbye, the warden ends every process group still registered.
"""

import contextlib
import os
import subprocess
import sys

GRACE_SECONDS = 5.0

# Runs with no imports beyond the standard library's core, so that it starts in about 10 ms.
_WARDEN = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
groups = {}
for line in sys.stdin:
    words = line.split()
    if words[0] == "+":
        groups[int(words[1])] = int(words[2])
    else:
        groups.pop(int(words[1]), None)
def send(group, number):
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        groups.pop(group, None)
for group, number in list(groups.items()):
    try:
        os.kill(group, number)
    except ProcessLookupError:
        pass
until = time.monotonic() + float(sys.argv[1])
while groups and time.monotonic() < until:
    time.sleep(0.05)
    for group in list(groups):
        send(group, 0)
for group in list(groups):
    send(group, signal.SIGKILL)
"""

_TETHER = """
import os, signal, sys
pipe, number, program = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
try:
    os.write(pipe, f"+ {os.getpid()} {number}\\n".encode())
except BrokenPipeError:
    sys.exit("the supervisor is gone")
os.set_inheritable(pipe, False)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
try:
    os.execvp(program[0], program)
except OSError as error:
    sys.exit(f"{program[0]} cannot be started: {error.strerror}")
"""


class Warden:
    """The supervisor's end of the pipe; keeps the warden process alive as long as the supervisor lives."""

    def __init__(self) -> None:
        self._groups: dict[int, int] = {}
        self._pipe = -1
        self._process = self._begin()

    @property
    def pid(self) -> int:
        """The pid of the warden process."""
        return self._process.pid

    @property
    def pipe(self) -> int:
        """The file that a child must inherit to register itself."""
        return self._pipe

    def tether(self, argv: tuple[str, ...], stop_signal: int) -> list[str]:
        """Return the command that registers itself with the warden and then becomes `argv`, under the same pid."""
        return [sys.executable, "-I", "-S", "-c", _TETHER, str(self._pipe), str(int(stop_signal)), *argv]

    def expect(self, pid: int, stop_signal: int) -> None:
        """Note a child that registers itself, to repeat it should the warden have to be replaced."""
        self._groups[pid] = int(stop_signal)

    def forget(self, pid: int) -> None:
        """Strike a group off that is completely gone."""
        if self._groups.pop(pid, None) is not None:
            self._say(f"- {pid} 0\n")

    def keep(self) -> None:
        """Replace the warden process when somebody killed it."""
        if self._process.poll() is not None:
            os.close(self._pipe)
            self._process = self._begin()
            for pid, number in self._groups.items():
                self._say(f"+ {pid} {number}\n")

    def close(self) -> None:
        """Let the warden go; it ends whatever is still registered."""
        os.close(self._pipe)
        self._process.wait()

    def _say(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # it was killed just now: keep() repeats everything
            os.write(self._pipe, line.encode())

    def _begin(self) -> "subprocess.Popen[bytes]":
        reading, self._pipe = os.pipe()
        try:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _WARDEN, str(GRACE_SECONDS)],
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        finally:
            os.close(reading)
