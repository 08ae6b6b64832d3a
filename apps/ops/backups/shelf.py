"""The folder of backups: one folder each, finished ones only; unfinished ones carry another name and are cleared."""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from apps.ops.backups import manifest
from apps.ops.backups.errors import BackupBusy, BackupFailed, BackupUnusable
from apps.ops.backups.manifest import Dump, Manifest
from apps.ops.backups.retention import Keep, kept

PREFIX: Final = "tradingsite-"
UNFINISHED: Final = ".part"
GOING: Final = ".gone"
LOCK: Final = ".lock"


@contextlib.contextmanager
def held(shelf: Path, *, lock: str = LOCK, busy: str = "A backup") -> Iterator[None]:
    """Have the folder to oneself; the kernel lets go of it with the process. Raises BackupBusy."""
    try:
        shelf.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(shelf / lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise BackupFailed(f"The folder {shelf} cannot be used ({error.strerror}): see BACKUP_DIR.") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BackupBusy(f"{busy} is under way in {shelf}: wait for it.") from None
    finally:
        os.close(handle)


def name_of(at: datetime) -> str:
    """Name the backup of an instant."""
    return f"{PREFIX}{at.astimezone(UTC):%Y%m%dT%H%M%S}Z"


def begin(shelf: Path, name: str) -> Path:
    """Make the folder that an unfinished backup is written to. Raises BackupUnusable when that name is taken."""
    if (shelf / name).exists():
        raise BackupUnusable(f"{shelf / name} is there already: two backups of one second have one name.")
    path = shelf / f"{name}{UNFINISHED}"
    path.mkdir(mode=0o700)
    return path


def finish(path: Path) -> Path:
    """Give a backup its name once all of it is on the disk: before this moment it is none."""
    _sync(path)
    final = path.with_name(path.name.removesuffix(UNFINISHED))
    path.rename(final)
    _sync(path.parent)
    return final


def clear(shelf: Path) -> list[str]:
    """Remove what killed runs left behind; call it while the folder is held."""
    left = [path for path in shelf.iterdir() if path.suffix in {UNFINISHED, GOING} and path.name.startswith(PREFIX)]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return sorted(path.name for path in left)


def finished(shelf: Path) -> dict[str, datetime]:
    """Return the finished backups with their instants; what cannot be read is left alone and not listed."""
    found = {}
    for path in sorted(shelf.glob(f"{PREFIX}*Z")) if shelf.is_dir() else ():
        with contextlib.suppress(BackupUnusable):
            found[path.name] = manifest.glance(path).at
    return found


def newest(shelf: Path) -> Path:
    """Return the newest finished backup. Raises BackupUnusable when there is none."""
    found = finished(shelf)
    if not found:
        raise BackupUnusable(f"There is no backup in {shelf}: take one with `manage.py backup`.")
    return shelf / max(found, key=lambda name: (found[name], name))


def forget(shelf: Path, keep: Keep) -> list[str]:
    """Delete the backups that the rule does not keep and return their names; call it while the folder is held."""
    taken = finished(shelf)
    gone = sorted(taken.keys() - kept(taken, keep))
    for name in gone:
        # Renamed first: one that is half deleted must not look like a backup.
        going = (shelf / name).rename(shelf / f"{name}{GOING}")
        shutil.rmtree(going, ignore_errors=True)
    return gone


def store(path: Path, chunks: Iterable[bytes]) -> tuple[str, int]:
    """Write a file to the disk and return its sum and size. Raises BackupFailed when the disk does not take it."""
    total, size = hashlib.sha256(), 0
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for chunk in chunks:
                file.write(chunk)
                total.update(chunk)
                size += len(chunk)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        free = shutil.disk_usage(path.parent).free
        raise BackupFailed(
            f"{path.parent.parent} does not take the backup: {error.strerror} after {size:,} bytes ({free:,} are "
            "free). Free some space there, keep fewer backups (BACKUP_KEEP), or name another folder (BACKUP_DIR)."
        ) from None
    return total.hexdigest(), size


def check(folder: Path, found: Manifest) -> None:
    """Read every dump of a backup and compare it with its sum. Raises BackupUnusable."""
    for dump in found.dumps:
        path = folder / dump.file
        try:
            total, size = _sum(path), path.stat().st_size
        except OSError as error:
            raise BackupUnusable(f"{path} cannot be read: {error.strerror}.") from None
        if (total, size) != (dump.sha256, dump.size):
            raise BackupUnusable(
                f"{path} is damaged: its SHA-256 is {total} over {size} bytes, the manifest says {dump.sha256} over "
                f"{dump.size}. Use another backup, or another copy of this one."
            )


def path_of(folder: Path, dump: Dump) -> Path:
    """Return where a dump lies; a name that leads elsewhere is refused."""
    if Path(dump.file).name != dump.file:
        raise BackupUnusable(f"{folder} names a dump outside of itself: {dump.file!r}.")
    return folder / dump.file


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
