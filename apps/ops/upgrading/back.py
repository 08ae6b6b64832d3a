"""Back to the backup: restored beside the failed database, then the names are exchanged in one transaction."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import psycopg2
from django.db import connections
from psycopg2 import sql

from apps.ops.backups import restoring, servers
from apps.ops.backups.errors import BackupFailed
from apps.ops.backups.servers import Target
from apps.ops.backups.taking import Plan

LONGEST: Final = 63  # signs in a name, as PostgreSQL keeps them
_END: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
Say = Callable[[str], None]


def roll(plan: Plan, folder: Path, at: datetime, *, say: Say) -> list[str]:
    """Put the backup in the place of what the failure left; return the names that was given. Raises BackupFailed."""
    connections.close_all()
    stamp = at.strftime("%Y%m%d%H%M%S")
    targets = [plan.site, *([plan.market] if plan.apart else [])]
    fresh = [target.beside(_named(target.name, f"_before_{stamp}")) for target in targets]
    source = restoring.opened(folder, plan.key_file)
    restored = restoring.restore(source, fresh[0], fresh[1] if len(fresh) > 1 else None, say=say, as_it_was=True)
    if restored.differences:
        raise BackupFailed(f"The backup was restored into {fresh[0].shown}, but it differs: {restored.differences[0]}")
    return [
        _exchange(target, beside, _named(target.name, f"_failed_{stamp}"))
        for target, beside in zip(targets, fresh, strict=True)
    ]


def _exchange(target: Target, fresh: Target, kept: str) -> str:
    """Give the restored database the site's name and the failed one another; both at once or neither."""
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    try:
        with servers.maintenance(target) as link, link.cursor() as ask:
            for name in (target.name, fresh.name):
                ask.execute(_END, [name])
            ask.execute("BEGIN")
            ask.execute(rename.format(sql.Identifier(target.name), sql.Identifier(kept)))
            ask.execute(rename.format(sql.Identifier(fresh.name), sql.Identifier(target.name)))
            ask.execute("COMMIT")
    except psycopg2.Error as error:
        raise BackupFailed(
            f"The restored database {fresh.shown} could not take the place of {target.name}: "
            f"{servers.first_line(error)}. Set DATABASE_URL to it, or rename both as their owner."
        ) from None
    return kept


def _named(name: str, ending: str) -> str:
    return f"{name[: LONGEST - len(ending)]}{ending}"
