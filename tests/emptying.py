"""How is the database empty again after a test that commits? By deleting what is there, which is little.

Django truncates every table and writes content types and permissions anew, a third of a second for each test. Here the
few tables that hold rows are found by one question. Content types, permissions and the roles that hold them stay, for
no test changes them.
"""

from django.core.management import call_command
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.test import TransactionTestCase

KEPT = frozenset(
    {"django_content_type", "auth_permission", "auth_group", "auth_group_permissions", "django_migrations"}
)
HISTORY = "access_change"
MANY = 1000  # rows of one table: from here on truncating is quicker


def install() -> None:
    """Let tests that commit be followed by this emptying."""
    TransactionTestCase._fixture_teardown = _empty_all


def _empty_all(case: TransactionTestCase) -> None:
    for name in case._databases_names(include_mirrors=False):
        empty(connections[name])


def empty(link: BaseDatabaseWrapper) -> None:
    """Leave no row but those of content types, permissions, roles and migrations."""
    rows = filled(link)
    if max(rows.values(), default=0) > MANY:
        call_command("flush", verbosity=0, interactive=False, database=link.alias, reset_sequences=False)
        with link.cursor() as cursor:
            cursor.execute(f"TRUNCATE {HISTORY}")  # making the roles anew has just been written into it
    elif rows:
        _delete(link, list(rows))


def filled(link: BaseDatabaseWrapper) -> dict[str, int]:
    """Return the tables that hold rows and how many, counted no further than needed."""
    tables = sorted(set(link.introspection.django_table_names(only_existing=True)) - KEPT)
    count = "SELECT '{0}', (SELECT count(*) FROM (SELECT FROM {0} LIMIT {1}) AS rows)"
    with link.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(count.format(table, MANY + 1) for table in tables))
        return {table: rows for table, rows in cursor.fetchall() if rows}


def _delete(link: BaseDatabaseWrapper, tables: list[str]) -> None:
    """Delete all rows in one transaction: foreign keys are looked at when it ends."""
    with transaction.atomic(using=link.alias), link.cursor() as cursor:
        kept = _append_only(cursor)
        statements = [f"TRUNCATE {table} CASCADE" for table in tables if table in kept]
        statements += [f"DELETE FROM {table}" for table in tables if table not in kept]
        statements.append(f"TRUNCATE {HISTORY}")  # last: deleting settings has just been written into it
        cursor.execute(";".join(["SET CONSTRAINTS ALL DEFERRED", *statements]))


def _append_only(cursor: CursorWrapper) -> set[str]:
    """Return the tables that refuse to have rows deleted; they let themselves be truncated."""
    cursor.execute(
        "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal AND tgtype::int & 8 <> 0"
    )
    return {table for (table,) in cursor.fetchall()}
