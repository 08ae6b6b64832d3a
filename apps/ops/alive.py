"""Does this container's process live? `python -m apps.ops.alive`: status 0 when it gave a sign of life lately.

Asked every half minute by the container engine: plain SQL, because loading the site would cost a second each time.
"""

import os
import socket
import sys
from contextlib import closing
from typing import Final

import psycopg2

SILENT: Final = 20  # seconds
_ASK: Final = "SELECT count(*) FROM journal_pulse WHERE host = %s AND beat_at > clock_timestamp() - %s * interval '1 s'"


def main() -> int:
    """Return the exit status; a database that is away says nothing about this process, which waits for it."""
    try:
        with closing(psycopg2.connect(os.environ["DATABASE_URL"], connect_timeout=3)) as link, link.cursor() as ask:
            ask.execute(_ASK, [socket.gethostname(), SILENT])
            found = ask.fetchone() or (0,)
    except psycopg2.OperationalError:
        return 0
    return 0 if found[0] else 1


if __name__ == "__main__":
    sys.exit(main())
