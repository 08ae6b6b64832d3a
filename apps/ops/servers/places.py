"""Where the embedded servers keep their files, and as whom they run when we are root.

Everything lives in the state directory (`var/`). Only when root started us and the servers' unprivileged user could not
reach that directory (below /root, in somebody's 0700 home) do their files move to a folder of their own below /var/lib:
no permission of any parent directory is ever loosened.
"""

import hashlib
import json
import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from apps.ops.servers.errors import ServersUnavailable
from apps.ops.servers.programs import Program

REPOSITORY = Path(__file__).resolve().parents[3]
ELSEWHERE = Path("/var/lib/tradingsite")
POINTER = "servers.home"
SERVICE_ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The unprivileged user that root lets the servers run as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A state directory, the directory that holds its servers' files (usually the same), and who runs the servers."""

    state: Path
    home: Path
    account: Account | None

    def folder(self, name: str) -> Path:
        """Return a 0700 folder in the home that belongs to the servers' user."""
        path = self.home / name
        path.mkdir(mode=0o700, exist_ok=True)
        self.give(path)
        return path

    def give(self, path: Path) -> None:
        """Let the servers' user own a file or folder (only that one, nothing above or below it)."""
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)

    def keep(self, path: Path) -> None:
        """Let the owner of the state directory own a file that root just made there."""
        if os.geteuid() == 0:
            owner = self.state.stat()
            os.chown(path, owner.st_uid, owner.st_gid)

    def write_private(self, name: str, text: str) -> Path:
        """Write a 0600 file in the home in one step: after a crash it is whole or absent."""
        path, fresh = self.home / name, self.home / f"{name}.new"
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self.keep(fresh)
        fresh.replace(path)
        return path

    def read_json(self, name: str) -> dict[str, str]:
        """Return the text values of a private file, or nothing when there is no such file or it is damaged."""
        try:
            found = json.loads((self.home / name).read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}

    def reachable(self, program: Program) -> Program:
        """Return the program itself, or a copy of it that the servers' user can reach."""
        if self.account is None or can_reach(program.path, self.account):
            return program
        if program.root is None:
            raise ServersUnavailable(
                f"The user {self.account.name} cannot reach {program.path}: set {program.origin} to a program in a "
                "folder that everybody may enter, or start as an ordinary user."
            )
        return _copy_once(program, self.home / "programs")


def state_directory(state: Path | None) -> Path:
    """Return the state directory in force: the one given, TRADINGSITE_VAR, or `var` beside manage.py."""
    return Path(state or os.environ.get("TRADINGSITE_VAR") or REPOSITORY / "var").expanduser().resolve()


def settle(state: Path | None = None) -> Place:
    """Prepare the state directory (0700; as root its servers' group may also pass through it) and its servers' home."""
    path = state_directory(state)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        pointer = path / POINTER
        moved = Path(pointer.read_text().strip()) if pointer.is_file() else None
        account = _account_for(moved or path, path) if os.geteuid() == 0 else None
        home = moved or _home_of(path, account)
        for folder in {path, home}:
            _close_to_others(folder, account)
        return Place(state=path, home=home, account=account)
    except OSError as error:
        raise ServersUnavailable(
            f"The state directory {path} cannot be used ({error.strerror}: {error.filename}): it must be a directory "
            f"that the user {_me()} may write. Start as its owner, or set TRADINGSITE_VAR to another directory."
        ) from None


def can_reach(path: Path, account: Account) -> bool:
    """Say whether the account may pass through every directory above `path`, by their permission bits."""
    return all(_may_enter(parent.stat(), account) for parent in path.resolve().parents)


def _may_enter(found: os.stat_result, account: Account) -> bool:
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _account_for(home: Path, state: Path) -> Account:
    # Whoever owns the data already goes on; else the person whose directory this is; else a service account.
    owners = [path.stat().st_uid for path in (home / "postgres", state) if path.is_dir()]
    names = [pwd.getpwuid(uid).pw_name for uid in owners if uid and _known(uid)]
    for name in (*names, *SERVICE_ACCOUNTS):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise ServersUnavailable(
        "PostgreSQL refuses to run as root, and neither a user `postgres` nor `nobody` exists: create one, or start "
        "as an ordinary user."
    )


def _known(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _home_of(state: Path, account: Account | None) -> Path:
    if account is None or (state / "postgres").is_dir() or can_reach(state, account):
        return state
    home = ELSEWHERE / hashlib.sha256(os.fsencode(state)).hexdigest()[:16]
    ELSEWHERE.mkdir(mode=0o755, parents=True, exist_ok=True)
    home.mkdir(mode=0o700, exist_ok=True)
    (state / POINTER).write_text(f"{home}\n")
    return home


def _close_to_others(folder: Path, account: Account | None) -> None:
    found = folder.stat()
    if account is None or account.uid == found.st_uid:
        wanted = 0o700
    else:
        # The servers' group passes through but cannot list; nobody else gets in.
        wanted = 0o710
        os.chown(folder, -1, account.gid)
    if stat.S_IMODE(found.st_mode) != wanted and found.st_uid in (os.geteuid(), 0):
        folder.chmod(wanted)


def _copy_once(program: Program, folder: Path) -> Program:
    found = program.path.stat()
    mark = hashlib.sha256(f"{program.path}{found.st_size}{found.st_mtime_ns}".encode()).hexdigest()[:12]
    target = folder / f"{program.path.name}-{mark}"
    folder.mkdir(mode=0o755, exist_ok=True)
    if not target.is_dir():
        fresh = folder / f"{target.name}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o755)
        program.copied_to(fresh)
        fresh.rename(target)
    assert program.root is not None
    return Program(path=target / program.path.relative_to(program.root), origin=program.origin)


def _me() -> str:
    uid = os.geteuid()
    return pwd.getpwuid(uid).pw_name if _known(uid) else f"user {uid}"
