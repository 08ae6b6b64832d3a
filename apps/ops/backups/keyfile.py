"""The key that seals backups: a file of its own that no backup ever contains."""

import base64
import binascii
import hashlib
import os
import secrets
import stat
from pathlib import Path

from apps.ops.backups.errors import BackupUnusable

BYTES = 32
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read(path: Path) -> bytes:
    """Return the key. Raises BackupUnusable when the file is missing, open to others, or holds no key."""
    try:
        mode = path.stat().st_mode
        text = path.read_text().strip()
    except OSError as error:
        raise BackupUnusable(
            f"The key file {path} (BACKUP_KEY_FILE) cannot be read ({error.strerror}): put it back, or make a new one "
            "with `manage.py backup --new-key`. A new one opens no older backup."
        ) from None
    if mode & OTHERS:
        raise BackupUnusable(f"The key file {path} can be read by others: `chmod 600 {path}`.")
    try:
        key = base64.urlsafe_b64decode(text.encode())
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != BYTES:
        raise BackupUnusable(f"The key file {path} does not hold a key of {BYTES} bytes: put the right one back.")
    return key


def create(path: Path) -> None:
    """Write a new key to a file that only its owner may read. Raises BackupUnusable when there is one."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BackupUnusable(f"{path} is there already: it opens your backups, so it is not replaced.") from None
    except OSError as error:
        raise BackupUnusable(f"The key file {path} cannot be written: {error.strerror}.") from None
    with os.fdopen(handle, "wb") as file:
        file.write(base64.urlsafe_b64encode(secrets.token_bytes(BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def fingerprint(key: bytes) -> str:
    """Return eight characters by which a key is recognised and that tell nothing of it."""
    return hashlib.sha256(b"tradingsite backup key name\0" + key).hexdigest()[:8]
