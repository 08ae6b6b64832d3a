"""A PostgreSQL for a drill: its own port, directory and data, and nothing of it left, whoever was killed."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

from apps.ops import servers as embedded
from apps.ops.backups import shelf
from apps.ops.backups.errors import BackupBusy, BackupFailed
from apps.ops.backups.servers import Target
from apps.ops.servers import ServersUnavailable, places, processes

STOP_SECONDS = 20.0
LOCK = "lock"


@contextlib.contextmanager
def server(folder: Path) -> Iterator[Target]:
    """Start a server below `folder` and yield its empty database; one drill at a time. Raises BackupBusy."""
    with shelf.held(folder, lock=LOCK, busy="A drill"):
        clear(folder)
        state = Path(tempfile.mkdtemp(prefix="server-", dir=folder))
        try:
            _open_way(folder)
            with embedded.lease(state, ("postgresql",)) as found:
                yield Target(url=found.database_url)
        except ServersUnavailable as error:
            raise BackupFailed(f"The server for the drill did not start: {error}") from None
        finally:
            _remove(state)


def clear(folder: Path) -> list[str]:
    """End the servers that killed drills left running and remove their files; call it while the folder is held."""
    left = sorted(folder.glob("server-*"))
    for state in left:
        _remove(state)
    return [path.name for path in left]


def leftovers(folder: Path) -> list[str]:
    """Name what killed drills left, without touching it."""
    return sorted(path.name for path in folder.glob("server-*"))


def clear_if_idle(folder: Path) -> list[str]:
    """Clear unless a drill is under way at this moment."""
    if not folder.is_dir():
        return []
    with contextlib.suppress(BackupBusy), shelf.held(folder, lock=LOCK):
        return clear(folder)
    return []


def _remove(state: Path) -> None:
    with contextlib.suppress(ServersUnavailable, OSError):
        place = places.settle(state)
        data = place.home / "postgres"
        pid = embedded.pid("postgresql", state)
        if pid is not None:
            processes.end(pid, data, signal.SIGINT)
            if not processes.wait_gone(pid, data, STOP_SECONDS):
                processes.end(pid, data, signal.SIGQUIT)
                processes.wait_gone(pid, data, STOP_SECONDS)
        if place.home != state:
            shutil.rmtree(place.home, ignore_errors=True)
    shutil.rmtree(state, ignore_errors=True)


def _open_way(folder: Path) -> None:
    """Let the unprivileged user that root runs servers as pass through our own folder; it cannot list it."""
    if os.geteuid() == 0:
        folder.chmod(0o711)
