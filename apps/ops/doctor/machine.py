"""This machine: settings that do not go together, files that others can read, room on the disks."""

import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from django.conf import settings

from apps.ops.doctor.finding import Finding, good, note, wrong
from apps.ops.servers import places
from apps.ops.servers.identity import PASSWORDS

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
LEAST_BYTES: Final = 2 * 1024**3
LEAST_SHARE: Final = 0.05


def look() -> Iterator[Finding]:
    """Look at what needs no server."""
    yield from configuration()
    yield from private_files()
    for name, path in (("state", Path(settings.VAR)), ("backups", Path(settings.BACKUP_DIR))):
        yield room(name, path)


def configuration() -> Iterator[Finding]:
    """Look for settings that are allowed one by one and dangerous together."""
    if settings.WEB_HOST not in LOOPBACK and not settings.PRODUCTION:
        yield wrong(
            "settings",
            "address",
            f"other machines can reach the site at {settings.WEB_HOST} with the settings of development",
            "set ENVIRONMENT=production and put a proxy with TLS in front, or WEB_HOST=127.0.0.1",
        )
    if settings.LIVE_TRADING and settings.DEMO:
        yield wrong("settings", "live", "LIVE_TRADING and DEMO are both on", "set DEMO=0 where real money moves")
    if settings.DEBUG:
        yield wrong("settings", "debug", "pages of failure show source code and settings", "unset DEBUG")
    if set(settings.CELERY_ACCEPT_CONTENT) != {"json"}:
        yield wrong("settings", "celery", "workers accept more than JSON", "set CELERY_ACCEPT_CONTENT to json alone")
    yield _sealing()
    yield good("settings", "environment", f"{settings.ENVIRONMENT}, {'demo' if settings.DEMO else 'no demo'}")


def private_files() -> Iterator[Finding]:
    """See that nobody else can read what opens the site."""
    home = places.state_directory(Path(settings.VAR))
    named = {
        "KEY_FILE": Path(settings.KEY_FILE),
        "secret_key": home / "secret_key",
        "flower_password": home / "flower_password",
        "passwords": home / PASSWORDS,
        ".env": places.REPOSITORY / ".env",
    }
    if settings.BACKUP_KEY_FILE:
        named["BACKUP_KEY_FILE"] = Path(settings.BACKUP_KEY_FILE)
    open_ones = {name: path for name, path in named.items() if _open(path)}
    for name, path in open_ones.items():
        yield wrong("files", name, f"{path} can be read by other users of this machine", f"chmod 600 {path}")
    if not open_ones:
        yield good("files", "private", "keys and passwords are readable by their owner alone")


def room(name: str, path: Path, *, least: int = LEAST_BYTES) -> Finding:
    """See that there is room on the disk of a folder: `least` bytes and a twentieth of it."""
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    disk = shutil.disk_usage(there)
    seen = f"{disk.free / 1e9:,.1f} GB of {disk.total / 1e9:,.1f} GB are free at {path}"
    if disk.free < least or disk.free < LEAST_SHARE * disk.total:
        do = (
            "free some space: without any, PostgreSQL stops. Fewer ticks (TICK_RETENTION_DAYS) or backups (BACKUP_KEEP)"
        )
        return wrong("disk", name, seen, do)
    return good("disk", name, seen)


def _sealing() -> Finding:
    if not settings.BACKUP_KEY_FILE:
        do = "set BACKUP_KEY_FILE and run `manage.py backup --new-key` if backups leave this machine"
        return note("settings", "sealing", "backups are not sealed: whoever has one can read it", do)
    path = Path(settings.BACKUP_KEY_FILE)
    if not path.is_file():
        return wrong("settings", "sealing", f"{path} is not there", "put the key back, or `manage.py backup --new-key`")
    if path.absolute().is_relative_to(Path(settings.BACKUP_DIR)):
        return wrong(
            "settings",
            "sealing",
            "the key of the backups lies among the backups",
            "move BACKUP_KEY_FILE to where the backups never go",
        )
    return good("settings", "sealing", f"backups are sealed with {path}")


def _open(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & OTHERS)
    except OSError:
        return False
