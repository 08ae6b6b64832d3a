"""Seals over the journal: each is a hash of the events since the one before, and of that one.

Whoever changes, removes or slips in an old event would have to make every later seal anew, and those that lie in the
manifests of backups elsewhere cannot be. Events are sealed once nobody can still write one with a lower number.
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.db import connection, transaction

from apps.journal.models import Seal

LONGEST: Final = timedelta(minutes=4)  # an open transaction older than this may still hold a low number: wait for it
SETTLED: Final = timedelta(minutes=5)  # so old is what is sealed
MOST: Final = 10_000  # events under one seal
# The same text on every server: no time zone, no order of keys, no style of numbers comes in.
_TEXT: Final = (
    "jsonb_build_array(e.id, e.kind, to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), e.account_id, "
    "e.subject, e.actor, e.payload)::text"
)
_HASHES: Final = f"string_agg(encode(sha256(convert_to({_TEXT}, 'UTF8')), 'hex'), '' ORDER BY e.id)"
_DIGEST: Final = "encode(sha256(convert_to({before} || {hashes}, 'UTF8')), 'hex')"
_WRITING: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_xid IS NOT NULL AND xact_start < %s
"""
_SEAL: Final = f"""
WITH last AS (
    SELECT place, until, digest FROM (
        SELECT place, until, digest FROM journal_seal UNION ALL SELECT 0, 0, ''
    ) AS seals ORDER BY place DESC LIMIT 1
), settled AS (
    SELECT coalesce((SELECT id FROM journal_event WHERE at < %(before)s ORDER BY id DESC LIMIT 1), 0) AS until
), e AS (
    SELECT e.* FROM journal_event e, last, settled
    WHERE e.id > last.until AND e.id <= settled.until ORDER BY e.id LIMIT %(most)s
)
INSERT INTO journal_seal (place, until, events, digest, at)
SELECT last.place + 1, max(e.id), count(*), {_DIGEST.format(before="last.digest", hashes=_HASHES)}, %(now)s
FROM last, e GROUP BY last.place, last.digest
ON CONFLICT (place) DO NOTHING RETURNING events
"""  # noqa: S608 - the words put in are constants
# Seals that do not agree with the events under them, or with the seal before: for `apps/ops/invariants.py`.
BROKEN: Final = f"""
SELECT s.place, s.until, s.events, f.events FROM journal_seal s
LEFT JOIN journal_seal p ON p.place = s.place - 1
LEFT JOIN LATERAL (
    SELECT count(*) AS events, coalesce({_HASHES}, '') AS hashes FROM journal_event e
    WHERE e.id > coalesce(p.until, 0) AND e.id <= s.until
) f ON true
WHERE f.events <> s.events OR s.digest <> {_DIGEST.format(before="coalesce(p.digest, '')", hashes="f.hashes")}
    OR (p.place IS NULL) <> (s.place = 1)
ORDER BY s.place
"""  # noqa: S608 - the words put in are constants


class Anchor(NamedTuple):
    """A seal to be kept elsewhere: its place in the chain and its hash."""

    place: int
    digest: str


def seal(now: datetime, *, most: int = MOST) -> int:
    """Seal the next settled events and return how many; 0 when there are none, or somebody else just did it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_WRITING, [now - LONGEST])
        if cursor.fetchone()[0]:
            return 0
        cursor.execute(_SEAL, {"before": now - SETTLED, "most": most, "now": now})
        row = cursor.fetchone()
        return int(row[0]) if row else 0


def newest() -> Anchor | None:
    """Return the newest seal, None while there is none."""
    row = Seal.objects.order_by("-place").values_list("place", "digest").first()
    return Anchor(*row) if row else None


def agrees(anchor: Anchor) -> bool:
    """Say whether the seal of that place is the one that was kept elsewhere."""
    return Seal.objects.filter(place=anchor.place, digest=anchor.digest).exists()
