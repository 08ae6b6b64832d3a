"""What a backup says of itself: written last, sealed by a sum of its own, compared with what a restore finds."""

import hashlib
import hmac
import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from apps.ops.backups import cipher, keyfile
from apps.ops.backups.errors import BackupUnusable

FILE: Final = "manifest.json"
FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """One dump of a backup: its file, the sum and size of the file as stored, and the program that wrote it."""

    file: str
    sha256: str
    size: int
    tool: int
    server: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What is in the database of a snapshot, so that a restore can be told from another one.

    `tables` holds rows and a sum over their text per table (no sum for the store's tables of ticks and candles);
    `books` the totals of the ledger per currency; `journal` the last event's number and how many there are; `seal` the
    newest seal over the journal as PLACE:DIGEST, kept here out of reach of the database's owner.
    """

    tables: dict[str, tuple[int, str]] = field(default_factory=dict)
    books: dict[str, dict[str, str]] = field(default_factory=dict)
    journal: dict[str, int] = field(default_factory=dict)
    seal: str = ""
    site_migrations: list[str] = field(default_factory=list)
    market_migrations: list[str] = field(default_factory=list)
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A backup: which code wrote it, of which instant it is, what it holds, which key seals it ("" is none)."""

    name: str
    version: str
    at: datetime
    seconds: float
    key: str
    dumps: list[Dump]
    contents: Contents

    @property
    def size(self) -> int:
        """Bytes of all dumps."""
        return sum(dump.size for dump in self.dumps)


def text(manifest: Manifest, key: bytes | None) -> str:
    """Write a manifest as JSON with its own sum; with a key nobody without it can write another one."""
    body = {"format": FORMAT, **asdict(manifest), "at": manifest.at.isoformat()}
    return json.dumps({**body, "sum": _sum(body, key)}, indent=1, sort_keys=True) + "\n"


def read(folder: Path, key: bytes | None) -> Manifest:
    """Read the manifest of a backup's folder. Raises BackupUnusable."""
    path = folder / FILE
    body = _body(path)
    name = str(body.get("key", ""))
    if name and key is None:
        raise BackupUnusable(f"{folder.name} is sealed with the key {name}: set BACKUP_KEY_FILE to its file.")
    if name and key and name != keyfile.fingerprint(key):
        raise cipher.wrong_key(folder.name, name, key)
    return _checked(path, body, key if name else None)


def glance(folder: Path) -> Manifest:
    """Read a manifest for a list, without a key: its own sum is not looked at when it is sealed."""
    path = folder / FILE
    body = _body(path)
    return _built(path, body) if body.get("key") else _checked(path, body, None)


def _body(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text())
    except OSError as error:
        raise BackupUnusable(f"{path} cannot be read ({error.strerror}): this is no finished backup.") from None
    except ValueError:
        raise BackupUnusable(f"{path} is damaged: it is no JSON any more.") from None
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise BackupUnusable(f"{path} is not a manifest of format {FORMAT}: it was written by other code.")
    return body


def _checked(path: Path, body: dict[str, Any], key: bytes | None) -> Manifest:
    plain = {name: value for name, value in body.items() if name != "sum"}
    if not hmac.compare_digest(str(body.get("sum", "")), _sum(plain, key)):
        raise BackupUnusable(f"{path} is damaged or was changed: its own sum does not fit.")
    return _built(path, body)


def _built(path: Path, body: dict[str, Any]) -> Manifest:
    try:
        contents = {**body["contents"]}
        contents["tables"] = {name: (int(rows), str(total)) for name, (rows, total) in contents["tables"].items()}
        return Manifest(
            name=body["name"],
            version=body["version"],
            at=datetime.fromisoformat(body["at"]),
            seconds=body["seconds"],
            key=body["key"],
            dumps=[Dump(**dump) for dump in body["dumps"]],
            contents=Contents(**contents),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BackupUnusable(f"{path} is damaged: a part of it is missing.") from None


def _sum(body: dict[str, Any], key: bytes | None) -> str:
    exact = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return hmac.digest(key, exact, "sha256").hex() if key else hashlib.sha256(exact).hexdigest()
