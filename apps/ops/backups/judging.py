"""Asking a restored site's invariants as of the instant of its backup; run as a process of its own on that database.

An exit that was on its way when the snapshot was taken is not late because the restore comes a week after. So the
clock that the queries ask stands still at that instant, inside a transaction that is rolled back.
"""

import os
import sys
from datetime import datetime
from typing import Final

import django
from django.db import connection, transaction

_STAND_STILL: Final = """
CREATE SCHEMA backup_clock;
CREATE FUNCTION backup_clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql IMMUTABLE
    AS $$ SELECT '{at}'::timestamptz $$;
CREATE FUNCTION backup_clock.now() RETURNS timestamptz LANGUAGE sql IMMUTABLE
    AS $$ SELECT '{at}'::timestamptz $$;
SET LOCAL search_path = backup_clock, public, pg_catalog;
SET LOCAL idle_in_transaction_session_timeout = 0;
"""


def broken(at: datetime) -> list[str]:
    """Return each invariant that does not hold as of `at`, in a sentence, with how often and a first example."""
    # Imported here because models want Django set up, which `main` does.
    from apps.ops import invariants

    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_STAND_STILL.format(at=at.isoformat()))
        findings = invariants.check(examples=1)
        transaction.set_rollback(True)
    return [
        f"{found.id} {found.name}: {found.violations} times, first {' | '.join(*found.examples)}"
        for found in findings
        if found.violations
    ]


def main() -> None:
    """Print a line for each broken invariant; the instant is the only argument."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradingsite.settings")
    django.setup()
    sys.stdout.writelines(f"{line}\n" for line in broken(datetime.fromisoformat(sys.argv[1])))


if __name__ == "__main__":
    main()
