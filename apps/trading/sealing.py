"""Sealing and opening what brokers know us by: where the settings, the key file and the cipher meet."""

import json
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from apps.trading import keyfile, masking
from apps.trading.keyfile import KeyUnusable

__all__ = ["KeyUnusable", "create", "fresh", "opens", "path", "resealed", "retire", "seal", "unseal"]


def path() -> Path:
    """Return where the key file is expected."""
    return Path(settings.KEY_FILE)


def create() -> bool:
    """Make the key file unless it is there, and say whether it was made. Raises KeyUnusable."""
    return keyfile.create(path())


def seal(secrets: Mapping[str, str], *, bound: str) -> bytes:
    """Encrypt secrets together with what they are for: they open for the same `bound` only. Raises KeyUnusable."""
    masking.register(*secrets.values())
    text = json.dumps({"bound": bound, "secrets": dict(secrets)})
    return _cipher().encrypt(text.encode())


def unseal(sealed: bytes | memoryview, *, bound: str, what: str) -> dict[str, str]:
    """Return the secrets; `what` names them in a refusal. Raises KeyUnusable."""
    try:
        held = json.loads(_cipher().decrypt(bytes(sealed)))
    except InvalidToken:
        raise _foreign(what) from None
    if held["bound"] != bound:
        raise KeyUnusable(
            f"{what} was sealed for another owner, broker or address than the row names: enter its secrets again."
        )
    secrets: dict[str, str] = held["secrets"]
    masking.register(*secrets.values())
    return secrets


def resealed(sealed: bytes | memoryview, *, what: str) -> bytes:
    """Return the same encrypted with the first key. Raises KeyUnusable."""
    try:
        return _cipher().rotate(bytes(sealed))
    except InvalidToken:
        raise _foreign(what) from None


def fresh() -> bool:
    """Put a new key first unless a change of keys was left half done; say whether one was made. Raises KeyUnusable."""
    keys = keyfile.read(path())
    if len(keys) > 1:
        return False
    keyfile.replace(path(), [Fernet.generate_key(), *keys])
    return True


def opens(sealed: bytes | memoryview) -> bool:
    """Say whether the first key alone opens this. Raises KeyUnusable."""
    try:
        Fernet(keyfile.read(path())[0]).decrypt(bytes(sealed))
    except InvalidToken:
        return False
    return True


def retire() -> int:
    """Keep the first key alone and return how many were taken out. Raises KeyUnusable."""
    first, *others = keyfile.read(path())
    if others:
        keyfile.replace(path(), [first])
    return len(others)


def _cipher() -> MultiFernet:
    # Read each time: the file is small, and another process may have changed it.
    return MultiFernet([Fernet(key) for key in keyfile.read(path())])


def _foreign(what: str) -> KeyUnusable:
    return KeyUnusable(
        f"No key in {path()} opens {what}: put back the key file that belongs to this database, or enter its secrets "
        "again with 'Replace'."
    )
