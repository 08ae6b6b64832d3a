"""Our own Redis-compatible server: append-only, no eviction, password, loopback; guarded by a lock it holds."""

import fcntl
import os
import re
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from apps.ops.servers import processes, programs
from apps.ops.servers.errors import ServersUnavailable
from apps.ops.servers.places import Place

HOST = "127.0.0.1"
SETTINGS = """\
bind 127.0.0.1
protected-mode yes
daemonize no
set-proc-title no
databases 64
appendonly yes
appendfsync everysec
save ""
maxmemory 512mb
maxmemory-policy noeviction
tcp-keepalive 60
loglevel notice
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Valkey:
    """One Valkey (or Redis) server with its files in `<home>/redis`, listening on loopback at `port`."""

    place: Place
    port: int
    password: str

    name = "redis"
    title = "Redis"
    variable = "REDIS_URL"
    stop_signal = signal.SIGTERM

    @property
    def data(self) -> Path:
        """The server's directory."""
        return self.place.home / "redis"

    @property
    def mark(self) -> Path:
        """The argument that tells our server process from any other: its configuration file."""
        return self.data / "redis.conf"

    @property
    def url(self) -> str:
        """The address that the product uses; it carries the password."""
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    def pid(self) -> int | None:
        """Return the server's pid when it runs, else None."""
        pid = processes.recorded_pid(self._pid_file)
        if processes.is_running(pid, self.mark):
            return pid
        # It may be young, or its pid file lost: the lock tells whether a search is worth it.
        return next(iter(processes.started_with(self.mark)), None) if self.occupied() else None

    def launch(self) -> "subprocess.Popen[bytes]":
        """Start the server; does not wait until it answers."""
        program = self.place.reachable(programs.valkey())
        self.place.folder("redis")
        self._write_settings()
        lock = self._open_lock()
        try:
            # The server inherits the locked file and so holds the lock as long as it (or a child of it) lives:
            # two servers can never write one append-only file, whoever dies when.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._pid_file.unlink(missing_ok=True)
            return processes.launch(
                [program.path, self.mark], log=self.start_log, account=self.place.account, keep=[lock]
            )
        finally:
            os.close(lock)

    def ask(self) -> str | None:
        """Return name and version once the server answers with our password, None while it does not."""
        try:
            with socket.create_connection((HOST, self.port), timeout=2) as link:
                link.sendall(f"AUTH {self.password}\r\nPING\r\nINFO server\r\nQUIT\r\n".encode())
                answer = b"".join(iter(lambda: link.recv(65536), b"")).decode(errors="replace")
        except OSError:
            return None
        if answer.startswith("-"):
            raise ServersUnavailable(
                f"Redis at {HOST}:{self.port} refuses the password in {self.place.home}: {answer.splitlines()[0][1:]}. "
                "Restore secrets.json from a backup of that directory, or set REDIS_URL."
            )
        versions = dict(re.findall(r"(valkey|redis)_version:(\S+)", answer))
        if "+PONG" not in answer or not versions:
            return None
        return f"Valkey {versions['valkey']}" if "valkey" in versions else f"Redis {versions['redis']}"

    def fate(self) -> str:
        """Return the newest line of the server's log that names an error."""
        return processes.last_words([self.start_log])

    def passing(self, words: str) -> bool:
        """Say whether a failed start is worth repeating in a moment: never for this server."""
        return False

    def occupied(self) -> bool:
        """Say whether some server process holds our directory."""
        if not self.data.is_dir():
            return False
        lock = self._open_lock()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    @property
    def _pid_file(self) -> Path:
        return self.data / "redis.pid"

    def _open_lock(self) -> int:
        path = self.place.home / "redis.lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self.place.keep(path)
        return lock

    def _write_settings(self) -> None:
        folder = str(self.data).replace("\\", "\\\\").replace('"', '\\"')
        own = (
            f'port {self.port}\ndir "{folder}"\npidfile "{folder}/{self._pid_file.name}"\nrequirepass {self.password}\n'
        )
        path = self.place.write_private("redis/redis.conf", SETTINGS + own)
        self.place.give(path)

    @property
    def start_log(self) -> Path:
        """What the server printed before its own log took over."""
        return self.place.folder("servers-log") / "redis.log"
