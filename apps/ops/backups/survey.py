"""Counting what a database holds, exactly: rows and a sum over their text, the books, the journal, the migrations."""

from collections.abc import Iterable
from typing import Final

from psycopg2 import sql
from psycopg2.extensions import connection, cursor

from apps.ops.backups.manifest import Contents

SITE, MARKET = "public", "market"
LEDGER: Final = "trading_ledgerentry"
JOURNAL: Final = "journal_event"
SEALS: Final = "journal_seal"
BOOKS: Final = ("cash", "holdings", "fees", "pnl", "capital")
_TABLES: Final = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1, 2
"""
# Independent of the order of rows and of the server's version; equal tables give equal sums.
_ROWS: Final = "count(*), coalesce(sum(('x' || left(md5(t::text), 15))::bit(60)::bigint), 0)::text"


def survey(link: connection, schemas: Iterable[str]) -> Contents:
    """Count one database, in the transaction that is open on the connection."""
    with link.cursor() as ask:
        ask.execute(_TABLES, [list(schemas)])
        tables = [(str(schema), str(name)) for schema, name in ask.fetchall()]
        names = {f"{schema}.{name}" for schema, name in tables}
        return Contents(
            tables={f"{schema}.{name}": _rows(ask, schema, name) for schema, name in tables},
            books=_books(ask) if f"{SITE}.{LEDGER}" in names else {},
            journal=_journal(ask) if f"{SITE}.{JOURNAL}" in names else {},
            seal=_seal(ask) if f"{SITE}.{SEALS}" in names else "",
            site_migrations=_applied(ask) if f"{SITE}.django_migrations" in names else [],
            market_migrations=_revisions(ask) if f"{MARKET}.alembic_version" in names else [],
            bytes=_bytes(ask),
        )


def joined(site: Contents, market: Contents) -> Contents:
    """Put what two databases hold together."""
    return Contents(
        tables={**site.tables, **market.tables},
        books=site.books,
        journal=site.journal,
        seal=site.seal,
        site_migrations=site.site_migrations,
        market_migrations=market.market_migrations,
        bytes=site.bytes + market.bytes,
    )


def differences(wanted: Contents, found: Contents) -> list[str]:
    """Say in sentences where a restored database is not the one that was backed up; empty when it is."""
    said = [
        f"{name}: {_counted(found.tables.get(name))} instead of {_counted(wanted.tables.get(name))}"
        for name in sorted(wanted.tables.keys() | found.tables.keys())
        if wanted.tables.get(name) != found.tables.get(name)
    ]
    for what in ("books", "journal", "seal", "site_migrations", "market_migrations"):
        if getattr(wanted, what) != getattr(found, what):
            said.append(f"{what.replace('_', ' ')}: {getattr(found, what)} instead of {getattr(wanted, what)}")
    return said


def _counted(rows: tuple[int, str] | None) -> str:
    return "no table" if rows is None else f"{rows[0]} rows (sum {rows[1] or 'not taken'})"


def _rows(ask: cursor, schema: str, name: str) -> tuple[int, str]:
    # Ticks are too many for a sum: that each is there is seen from the count, that none changed from the file's sum.
    wanted = sql.SQL(_ROWS if schema == SITE else "count(*), ''")
    ask.execute(sql.SQL("SELECT {} FROM {} t").format(wanted, sql.Identifier(schema, name)))
    count, total = ask.fetchone() or (0, "")
    return int(count), str(total)


def _books(ask: cursor) -> dict[str, dict[str, str]]:
    sums = sql.SQL(", ").join(sql.SQL("sum({})::text").format(sql.Identifier(book)) for book in BOOKS)
    statement = sql.SQL("SELECT currency, {} FROM {} GROUP BY currency").format(sums, sql.Identifier(SITE, LEDGER))
    ask.execute(statement)
    return {str(row[0]): dict(zip(BOOKS, map(str, row[1:]), strict=True)) for row in ask.fetchall()}


def _journal(ask: cursor) -> dict[str, int]:
    ask.execute(sql.SQL("SELECT coalesce(max(id), 0), count(*) FROM {}").format(sql.Identifier(SITE, JOURNAL)))
    last, events = ask.fetchone() or (0, 0)
    return {"last": int(last), "events": int(events)}


def _seal(ask: cursor) -> str:
    newest = sql.SQL("SELECT place || ':' || digest FROM {} ORDER BY place DESC LIMIT 1")
    ask.execute(newest.format(sql.Identifier(SITE, SEALS)))
    return str((ask.fetchone() or ("",))[0])


def _applied(ask: cursor) -> list[str]:
    ask.execute(sql.SQL("SELECT app || '.' || name FROM {}").format(sql.Identifier(SITE, "django_migrations")))
    return sorted(str(row[0]) for row in ask.fetchall())


def _revisions(ask: cursor) -> list[str]:
    ask.execute(sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(MARKET, "alembic_version")))
    return sorted(str(row[0]) for row in ask.fetchall())


def _bytes(ask: cursor) -> int:
    ask.execute("SELECT pg_database_size(current_database())")
    return int((ask.fetchone() or (0,))[0])
