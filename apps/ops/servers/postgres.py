"""Our own PostgreSQL: made once, started detached, recognised by its directory and password, stopped cleanly."""

import contextlib
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection

from apps.ops.servers import processes, programs
from apps.ops.servers.errors import ServersUnavailable
from apps.ops.servers.places import Place

HOST = "127.0.0.1"
DATABASE = "tradingsite"
ROLE = "app"
SUPERUSER = "postgres"
NOT_YET = (
    "Connection refused",
    "starting up",
    "shutting down",
    "not yet accepting",
    "closed the connection",
    "timeout",
)
# After kill -9 of the server its last children take a moment to notice and let go of the shared memory.
PASSING = ("pre-existing shared memory block", "lock file")
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # TCP only: no socket path that could be too long, none to be found in /tmp
    "max_connections": "200",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "logging_collector": "on",  # one file per weekday, overwritten a week later
    "log_filename": "postgresql-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """One PostgreSQL cluster in `<home>/postgres`, listening on loopback at `port`."""

    place: Place
    port: int
    password: str
    superuser_password: str

    name = "postgresql"
    title = "PostgreSQL"
    variable = "DATABASE_URL"
    stop_signal = signal.SIGINT  # "fast": ends sessions, writes a checkpoint

    @property
    def data(self) -> Path:
        """The cluster's directory."""
        return self.place.home / "postgres"

    @property
    def mark(self) -> Path:
        """The argument that tells our server process from any other."""
        return self.data

    @property
    def url(self) -> str:
        """The address that the product uses; it carries the password."""
        return f"postgres://{ROLE}:{self.password}@{HOST}:{self.port}/{DATABASE}"

    def pid(self) -> int | None:
        """Return the server's pid when it runs, else None."""
        pid = processes.recorded_pid(self.data / "postmaster.pid")
        return pid if processes.is_running(pid, self.mark) else None

    def launch(self) -> "subprocess.Popen[bytes]":
        """Start the server, making its cluster first when there is none; does not wait until it answers."""
        program = self.place.reachable(programs.postgres())
        major = programs.postgres_major(processes.run([program.path, "--version"], account=self.place.account).stdout)
        if self.data.is_dir():
            self._check_major(major)
        else:
            self._make_cluster(program.path.parent / "initdb", major)
        self._forget_stranger()
        settings = {**SETTINGS, "port": str(self.port)}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return processes.launch(
            [program.path, "-D", self.data, *options], log=self.start_log, account=self.place.account
        )

    def ask(self) -> str | None:
        """Return name and version once the server answers with our password, else None; makes role and database."""
        try:
            link = psycopg2.connect(
                host=HOST,
                port=self.port,
                user=SUPERUSER,
                password=self.superuser_password,
                dbname="postgres",
                connect_timeout=2,
                application_name="tradingsite servers",
            )
        except psycopg2.OperationalError as error:
            if any(words in str(error) for words in NOT_YET):
                return None
            raise ServersUnavailable(
                f"PostgreSQL at {HOST}:{self.port} refuses the password in {self.place.home}: {str(error).strip()}. "
                "Restore secrets.json from a backup of that directory, or set DATABASE_URL."
            ) from None
        with contextlib.closing(link):
            try:
                link.autocommit = True
                _make_database(link, self.password)
                version = str(link.get_parameter_status("server_version")).split()[0]
            except psycopg2.OperationalError:
                return None  # it went down again between our connection and our question
        return f"PostgreSQL {version}"

    def fate(self) -> str:
        """Return the newest line of the server's logs that names an error."""
        return processes.last_words([self.start_log, *self.data.glob("log/*.log")])

    def passing(self, words: str) -> bool:
        """Say whether a failed start is worth repeating in a moment."""
        return any(part in words for part in PASSING)

    def occupied(self) -> bool:
        """PostgreSQL guards its own directory."""
        return False

    @property
    def start_log(self) -> Path:
        """What the server printed before its own log took over."""
        return self.place.folder("servers-log") / "postgresql.log"

    def _check_major(self, major: int) -> None:
        there = (self.data / "PG_VERSION").read_text().strip()
        if there != str(major):
            raise ServersUnavailable(
                f"{self.data} was written by PostgreSQL {there}, but the programs found are {major}: install or name "
                f"(PG_BINDIR) PostgreSQL {there}, or move the data over with `manage.py backup` and `restore`."
            )

    def _make_cluster(self, initdb: Path, major: int) -> None:
        fresh = self.data.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh = self.place.folder(fresh.name)
        secret = self.place.write_private("initdb.password", self.superuser_password)
        self.place.give(secret)
        try:
            # Byte order sorts the same on every machine; the built-in provider needs no locale files (17 and later).
            locale = ["--locale-provider=builtin", "--locale=C.UTF-8"] if major >= 17 else ["--no-locale"]
            account = ["-U", SUPERUSER, "-A", "scram-sha-256", f"--pwfile={secret}"]
            options = ["-E", "UTF8", "--data-checksums", "--no-instructions", *locale, *account]
            done = processes.run([initdb, "-D", fresh, *options], account=self.place.account)
        finally:
            secret.unlink()
        if done.returncode:
            shutil.rmtree(fresh, ignore_errors=True)
            words = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ServersUnavailable(f"PostgreSQL could not make its data directory {self.data}: {words}")
        fresh.rename(self.data)

    def _forget_stranger(self) -> None:
        # PostgreSQL would refuse to start when the pid it left behind is alive again as somebody else's process.
        # Its second guard, the shared memory segment of this directory, still stops a real double start.
        path = self.data / "postmaster.pid"
        pid = processes.recorded_pid(path)
        if pid is not None and psutil.pid_exists(pid) and not processes.started_with(self.mark):
            path.unlink(missing_ok=True)


def _make_database(link: connection, password: str) -> None:
    with link.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s), "
            "EXISTS (SELECT FROM pg_database WHERE datname = %s)",
            [ROLE, DATABASE],
        )
        role, database = cursor.fetchone() or (False, False)
        if not role:
            # Not a superuser: a hole in the site must not become a shell on the machine.
            statement = "CREATE ROLE {} LOGIN CREATEDB PASSWORD %s IN ROLE pg_monitor, pg_signal_backend"
            cursor.execute(sql.SQL(statement).format(sql.Identifier(ROLE)), [password])
        if not database:
            statement = "CREATE DATABASE {} OWNER {}"
            cursor.execute(sql.SQL(statement).format(sql.Identifier(DATABASE), sql.Identifier(ROLE)))
