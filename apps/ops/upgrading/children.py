"""Parts of an upgrade that run in a process of their own: what fails there, however it fails, is one sentence here."""

import os
import subprocess
import sys

from apps.ops.servers.places import REPOSITORY


def run(*argv: str) -> str:
    """Run `python ARGV` on the site's databases; return "" when it went well, else its last line."""
    done = subprocess.run(
        [sys.executable, *argv],
        env=dict(os.environ),
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return ""
    lines = [line for line in (done.stderr.strip() or done.stdout.strip()).splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"it ended with status {done.returncode} and gave no reason"
