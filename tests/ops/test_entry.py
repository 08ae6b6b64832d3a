"""The door for commands: servers are up before settings are read; a wrong environment is one line, no traceback."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.ops import entry, servers
from apps.ops.servers import places
from tests.servers import temporary_folder

REPOSITORY = Path(__file__).resolve().parents[2]
TELL = "import os, json, time; print(json.dumps([os.environ['DATABASE_URL'], os.environ['REDIS_URL']]), flush=True)"


@pytest.fixture
def var() -> Iterator[Path]:
    with temporary_folder("tradingsite-entry-") as folder:
        yield folder / "var"


def environment(var: Path, **more: str) -> dict[str, str]:
    dropped = {"DATABASE_URL", "REDIS_URL", servers.EMBEDDED}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "TRADINGSITE_VAR": str(var), **more}


def manage(*words: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *words]
    return subprocess.run(command, env=env, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", False),
        ("help", False),
        ("--version", False),
        ("simulator --port 0", False),
        ("makemigrations --check", False),
        ("migrate --help", False),
        ("migrate", True),
        ("up", True),
        ("verify --json", True),
    ],
)
def test_only_commands_that_use_servers_start_them(words: str, expected: bool) -> None:
    assert entry.needs_servers(["manage.py", *words.split()]) is expected


def test_a_command_finds_servers_up_and_leaves_none_behind(var: Path) -> None:
    done = manage("shell", "-v", "0", "-c", TELL, env=environment(var))
    assert done.returncode == 0, done.stderr
    database_url, redis_url = json.loads(done.stdout.splitlines()[-1])
    assert database_url.startswith("postgres://app:")
    assert redis_url.startswith("redis://:")
    assert servers.pid("postgresql", var) is None
    assert servers.pid("redis", var) is None


def test_a_terminated_command_releases_the_servers(var: Path) -> None:
    command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", f"{TELL}; time.sleep(600)"]
    process = subprocess.Popen(command, env=environment(var), cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline()
    assert servers.alive("postgresql", var)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert not servers.alive("postgresql", var)
    assert not servers.alive("redis", var)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [("DEBUG", "maybe", "DEBUG='maybe' is not a switch"), ("PG_BINDIR", "/nonexistent", "PG_BINDIR leads to")],
)
def test_a_wrong_environment_is_one_line_and_status_2(var: Path, variable: str, value: str, told: str) -> None:
    done = manage("check", env=environment(var, **{variable: value}))
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert told in done.stderr
    assert not servers.alive("redis", var)


def test_help_needs_no_servers_and_is_quick(var: Path) -> None:
    begun = time.monotonic()
    done = manage("help", env=environment(var, PG_BINDIR="/nonexistent"))
    assert done.returncode == 0, done.stderr
    assert not (var / "postgres").exists()
    assert time.monotonic() - begun < 30


def test_servers_named_in_the_dotenv_file_count_as_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=postgres://me@db.example/site\nREDIS_URL=redis://cache.example/0\n")
    monkeypatch.setattr(places, "REPOSITORY", tmp_path)
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.setenv(name, "")  # so that what the file sets is taken back after the test
        monkeypatch.delenv(name)
    entry._read_dotenv()
    with servers.hold(tmp_path / "var") as found:
        assert found.database_url == "postgres://me@db.example/site"
        assert found.embedded == ()
