"""Who leads a role: a PostgreSQL advisory lock says so at once, an epoch in a row fences whoever led before.

A leader that dies loses its connection and with it the lock, so a standby takes over within its next attempt. A leader
that hangs keeps the lock but stops renewing: a standby then ends its connection. What a former leader still writes
names its old epoch and is refused.
"""

import os
from datetime import timedelta

from django.conf import settings
from django.db import connection

_TRY = "SELECT pg_try_advisory_lock(hashtextextended('lease.' || %s, 0))"
_RELEASE = "SELECT pg_advisory_unlock(hashtextextended('lease.' || %s, 0))"
_TAKE = """
INSERT INTO journal_lease AS l (name, epoch, holder, backend_pid, acquired_at, renewed_at)
VALUES (%s, 1, %s, pg_backend_pid(), clock_timestamp(), clock_timestamp())
ON CONFLICT (name) DO UPDATE SET epoch = l.epoch + 1, holder = excluded.holder, backend_pid = excluded.backend_pid,
    acquired_at = excluded.acquired_at, renewed_at = excluded.renewed_at
RETURNING epoch
"""
_RENEW = """
UPDATE journal_lease SET renewed_at = clock_timestamp()
WHERE name = %s AND epoch = %s AND backend_pid = pg_backend_pid()
"""
_END_HUNG = """
SELECT pg_terminate_backend(l.backend_pid) FROM journal_lease l
JOIN pg_locks k ON k.pid = l.backend_pid AND k.locktype = 'advisory' AND k.granted
WHERE l.name = %s AND l.renewed_at < clock_timestamp() - %s::interval
"""


def acquire(name: str, *, hung_after: timedelta) -> int | None:
    """Try to lead `name` on this thread's connection; return the new epoch, or None while somebody else leads.

    A leader that has not renewed for `hung_after` loses its connection, and the next attempt may succeed.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TRY, [name])
        if not cursor.fetchone()[0]:
            cursor.execute(_END_HUNG, [name, f"{hung_after.total_seconds()} seconds"])
            return None
        cursor.execute(_TAKE, [name, f"{settings.HOST_NAME}:{os.getpid()}"])
        return int(cursor.fetchone()[0])


def epoch(name: str) -> int:
    """Return the epoch of whoever led `name` last, 0 when nobody ever did."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT epoch FROM journal_lease WHERE name = %s", [name])
        row = cursor.fetchone()
        return int(row[0]) if row else 0


def renew(name: str, epoch: int) -> bool:
    """Say that the leader is alive; False when it no longer leads."""
    with connection.cursor() as cursor:
        cursor.execute(_RENEW, [name, epoch])
        return bool(cursor.rowcount)


def release(name: str) -> None:
    """Let the next one lead at once; the connection must be the one that acquired."""
    with connection.cursor() as cursor:
        cursor.execute(_RELEASE, [name])


def holds(name: str, epoch: int) -> bool:
    """Say whether `epoch` still leads, and keep it leading until the present transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM journal_lease WHERE name = %s AND epoch = %s FOR SHARE", [name, epoch])
        return cursor.fetchone() is not None
