"""The drill: the newest backup is restored into a server of its own, verified, compared, and thrown away."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from apps.ops.backups import restoring, scratch, shelf
from apps.ops.backups.errors import BackupFailed
from apps.ops.backups.restoring import Restored, Source

ROOM = 1.3  # times the size that the databases had: the data, and the log that writing it makes


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """Which backup is tried, where the scratch server may live, and which key opens the backup."""

    shelf: Path
    scratch: Path
    key_file: Path | None = None
    folder: Path | None = None


def run(
    drill: Drill, *, begun: Callable[[], None] = lambda: None, say: Callable[[str], None] = lambda text: None
) -> Restored:
    """Try the newest backup, or the one named; `begun` is called once no other drill can be under way.

    Raises BackupUnusable, BackupFailed, BackupBusy.
    """
    source = restoring.opened(drill.folder or shelf.newest(drill.shelf), drill.key_file)
    say(f"{source.manifest.name}: sums, manifest and code fit")
    with scratch.server(drill.scratch) as target:
        begun()
        _check_room(source, drill.scratch)
        say(f"a server of its own runs at {target.shown}")
        return restoring.restore(source, target, say=say)


def _check_room(source: Source, folder: Path) -> None:
    needed, free = int(source.manifest.contents.bytes * ROOM), shutil.disk_usage(folder).free
    if free < needed:
        raise BackupFailed(
            f"The drill needs about {needed:,} bytes below {folder} and {free:,} are free: free some space, or set "
            "TRADINGSITE_VAR to a larger disk."
        )
