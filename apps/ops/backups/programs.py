"""Finding and running PostgreSQL's own programs: new enough for the server, polite, without a secret in sight."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from apps.ops.backups.errors import BackupFailed
from apps.ops.servers import ServersUnavailable, programs
from apps.ops.servers.places import Account

CHUNK = 1 << 20
NICE = 10  # a dump gives way to everything that trades


def find(name: str, *, at_least: int) -> Path:
    """Return a program (`pg_dump`, `pg_restore`) of at least this major version. Raises BackupFailed."""
    seen: list[str] = []
    for path in dict.fromkeys(_candidates(name)):
        major = version(path)
        if major >= at_least:
            return path
        seen.append(f"{major} at {path}")
    there = f"only {', '.join(seen)}" if seen else "none"
    raise BackupFailed(
        f"{name} of PostgreSQL {at_least} or newer is needed and there is {there}: install postgresql-client-{at_least}"
        " or set PG_BINDIR to the folder of its programs."
    )


def version(path: Path) -> int:
    """Return the major version of a program; 0 when it does not say."""
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    try:
        return programs.postgres_major(told.stdout)
    except ServersUnavailable:
        return 0


def read(argv: Sequence[str | Path], environment: Mapping[str, str]) -> Generator[bytes, None, None]:
    """Run a program and yield what it writes; whoever stops reading ends it. Raises BackupFailed when it fails."""
    with _running(argv, environment, stdout=subprocess.PIPE) as (process, words):
        assert process.stdout is not None
        while chunk := process.stdout.read(CHUNK):
            yield chunk
        _check(argv, process.wait(), words)


def write(argv: Sequence[str | Path], environment: Mapping[str, str], chunks: Iterable[bytes]) -> None:
    """Run a program and give it what it reads. Raises BackupFailed when it fails, also half-way."""
    with _running(argv, environment, stdin=subprocess.PIPE) as (process, words):
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
            for chunk in chunks:
                pipe.write(chunk)
        _check(argv, process.wait(), words)


@contextlib.contextmanager
def _running(
    argv: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
) -> "Iterator[tuple[subprocess.Popen[bytes], Callable[[], str]]]":
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [str(part) for part in argv],
            stdin=stdin,
            stdout=stdout,
            stderr=errors,
            env={**_plain(), **environment, "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
        )
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        try:
            yield process, lambda: _last_words(errors)
        finally:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            process.wait()


def _plain() -> dict[str, str]:
    """Return the environment without libpq's own words: where to connect is said, never inherited."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _check(argv: Sequence[str | Path], status: int, words: Callable[[], str]) -> None:
    if status:
        ended = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        raise BackupFailed(f"{Path(argv[0]).name} {ended}: {words() or 'it gave no reason'}")


def _last_words(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = [line for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    wrong = [line for line in lines if "error" in line.lower() or "fatal" in line.lower()]
    return (wrong or lines or [""])[0].strip()


def _candidates(name: str) -> Iterator[Path]:
    with contextlib.suppress(ServersUnavailable):
        yield from _there(programs.postgres().path.parent / name)
    found = shutil.which(name)
    if found:
        yield Path(found)
    for folder in sorted(programs.INSTALLED_POSTGRES.glob("*/bin"), reverse=True):
        yield from _there(folder / name)


def _there(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path


def as_account(argv: Sequence[str | Path], account: Account | None, environment: Mapping[str, str]) -> None:
    """Run a program to its end as another user, if there is one. Raises BackupFailed with its own words."""
    done = subprocess.run(
        [str(part) for part in argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd="/",
        env={**_plain(), **environment, "LC_ALL": "C", "TZ": "UTC"},
        umask=0o077,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    if done.returncode:
        words = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise BackupFailed(f"{Path(argv[0]).name} ended with status {done.returncode}: {words}")
