"""Which PostgreSQL server a dump comes from or goes to, and the connections that backups open themselves."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection, make_dsn, parse_dsn

from apps.ops.backups.errors import BackupFailed, BackupUnusable

# A dump may take hours: no limit of the site's sessions holds for it. Text of rows must not depend on the server.
SESSION = (
    "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c lock_timeout=30000 -c timezone=UTC "
    "-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=1 -c bytea_output=hex"
)
MAINTENANCE = ("postgres", "template1")  # databases that are there on every server, to be in while making another


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A database by its address; the password is kept out of what is shown and of command lines."""

    url: str = field(repr=False)

    @property
    def parts(self) -> dict[str, str]:
        """Return the connection's words as libpq knows them. Raises BackupUnusable for what is no address."""
        try:
            return {str(key): str(value) for key, value in parse_dsn(self.url).items()}
        except psycopg2.ProgrammingError:
            raise BackupUnusable(
                "That is not the address of a PostgreSQL database: use postgresql://USER:PASSWORD@HOST:PORT/NAME."
            ) from None

    @property
    def name(self) -> str:
        """The database's name."""
        return self.parts.get("dbname", "")

    @property
    def shown(self) -> str:
        """Host, port and name, for people."""
        parts = self.parts
        return f"{parts.get('host', 'localhost')}:{parts.get('port', '5432')}/{self.name}"

    @property
    def argument(self) -> str:
        """The connection for a command line: everything but the password."""
        return str(make_dsn(**{key: value for key, value in self.parts.items() if key != "password"}))

    @property
    def environment(self) -> dict[str, str]:
        """The password, where only the same user can read it: in the environment of the program."""
        password = self.parts.get("password")
        return {"PGPASSWORD": password} if password else {}

    def beside(self, name: str) -> "Target":
        """Return another database of the same server and user."""
        split = urlsplit(self.url)
        return Target(url=urlunsplit(split._replace(path=f"/{quote(name, safe='')}")))


def connect(target: Target, *, options: str = SESSION) -> connection:
    """Open a connection. Raises BackupFailed in one sentence."""
    try:
        return psycopg2.connect(
            target.url, connect_timeout=10, options=options, application_name="tradingsite backup", keepalives_idle=30
        )
    except psycopg2.Error as error:
        raise BackupFailed(f"The database {target.shown} does not answer: {first_line(error)}") from None


@contextmanager
def session(target: Target) -> Iterator[connection]:
    """Yield a connection in autocommit that is closed at the end."""
    with closing(connect(target)) as link:
        link.autocommit = True
        yield link


def major(link: connection) -> int:
    """Return the server's major version, like 18."""
    return int(link.server_version) // 10_000


def create(target: Target) -> bool:
    """Make the database unless it is there; say whether it was made. Raises BackupFailed."""
    with maintenance(target) as link, link.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [target.name])
        if cursor.fetchone():
            return False
        try:
            cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(target.name)))
        except psycopg2.Error as error:
            raise BackupFailed(f"The database {target.shown} could not be made: {first_line(error)}") from None
        return True


def drop(target: Target) -> None:
    """Remove a database that this process has made."""
    with maintenance(target) as link, link.cursor() as cursor:
        cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(target.name)))


def first_line(error: Exception) -> str:
    """Return the first line of what the driver said."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def named(word: str, beside: str) -> Target:
    """Read what a person gave: a whole address, or the name of a database beside another one."""
    if "://" in word:
        return Target(url=word)
    if not word or unquote(word) != word or set(word) & set("/:@? "):
        raise BackupUnusable(f"{word!r} is neither an address nor the plain name of a database.")
    return Target(url=beside).beside(word)


@contextmanager
def maintenance(target: Target) -> Iterator[connection]:
    """Yield a connection in autocommit to another database of the same server, to make or rename one."""
    for name in MAINTENANCE[:-1]:
        try:
            link = connect(target.beside(name))
        except BackupFailed:
            continue
        break
    else:
        link = connect(target.beside(MAINTENANCE[-1]))
    with closing(link):
        link.autocommit = True
        yield link
