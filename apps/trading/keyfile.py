"""The file that opens broker credentials: one key a line. The first encrypts, all decrypt; it is not in the database.

Whoever has this file and a dump of the database has the credentials, so it is its owner's alone (mode 0600), and a
backup keeps the two apart.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet

from apps.domain.errors import Unavailable

_HEADER: Final = "# Opens the broker credentials in the database. The first key encrypts, all decrypt. See docs/keys.md"
_OTHERS: Final = 0o077
_RESTORE: Final = "put back the file that belongs to this database"


class KeyUnusable(Unavailable):
    """Credentials cannot be opened; says what is wrong with which file, and what to do. Nothing was sent anywhere."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, permanent=True)


def read(path: Path) -> list[bytes]:
    """Return the keys, the one that encrypts first. Raises KeyUnusable."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except FileNotFoundError:
        raise KeyUnusable(
            f"The key file {path} is missing: {_RESTORE}, or let KEY_FILE name it; a site that holds no credential "
            "yet gets one from 'manage.py keys create'."
        ) from None
    except OSError as error:
        raise KeyUnusable(
            f"The key file {path} cannot be read ({error.strerror}): let it belong to the user that the site runs as."
        ) from None
    if mode & _OTHERS:
        raise KeyUnusable(f"The key file {path} is open to other users of this machine: run 'chmod 600 {path}'.")
    return _parsed(path, text)


def create(path: Path) -> bool:
    """Make the file with one new key unless it is there, and say whether it was made. Raises KeyUnusable."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with _writing(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(draft, [Fernet.generate_key()])
        try:
            os.link(draft, path)  # all or nothing: nobody reads half a file, and the first of two processes wins
        except FileExistsError:
            return False
        finally:
            draft.unlink()
        _settle(path.parent)
    return True


def replace(path: Path, keys: list[bytes]) -> None:
    """Put these keys into the file at once; only one process may do this at a time. Raises KeyUnusable."""
    real = path.resolve()
    draft = real.with_name(f".{real.name}.new")  # one name: what a killed process left is written over
    with _writing(path):
        owner = real.stat()
        _write(draft, keys)
        if os.geteuid() == 0:  # root changes the keys of a site that runs as somebody else
            os.chown(draft, owner.st_uid, owner.st_gid)
        draft.replace(real)
        _settle(real.parent)


def _parsed(path: Path, text: bytes) -> list[bytes]:
    found: list[bytes] = []
    for number, line in enumerate(text.splitlines(), start=1):
        word = line.strip()
        if not word or word.startswith(b"#"):
            continue
        try:
            Fernet(word)
        except ValueError:
            raise KeyUnusable(f"Line {number} of the key file {path} is not a key: {_RESTORE}.") from None
        found.append(word)
    if not found:
        raise KeyUnusable(f"The key file {path} holds no key: {_RESTORE}.")
    return found


def _write(path: Path, keys: list[bytes]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)  # also when the draft was there before
        file.write(b"\n".join([_HEADER.encode(), *keys, b""]))
        file.flush()
        os.fsync(file.fileno())


def _settle(folder: Path) -> None:
    """Make a new name in a folder survive a loss of power."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KeyUnusable(
            f"The key file {path} cannot be written ({error.strerror}): let its folder belong to the user that "
            "the site runs as."
        ) from None
