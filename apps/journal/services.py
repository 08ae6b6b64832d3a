"""Writing facts down, in the transaction that makes them true."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.db import connection

from apps.journal.models import Event


class Fact(NamedTuple):
    """One event before it is written."""

    kind: str
    subject: str
    account_id: int | None
    actor: str
    payload: Mapping[str, Any]


def record(
    kind: str, subject: str, *, payload: Mapping[str, Any], account_id: int | None = None, actor: str = ""
) -> int:
    """Write one event and return its id; call it inside the transaction it belongs to."""
    event = Event.objects.create(kind=kind, subject=subject, account_id=account_id, actor=actor, payload=dict(payload))
    return event.pk


def record_many(facts: Sequence[Fact]) -> None:
    """Write many events with one statement."""
    if not facts:
        return
    columns = zip(*((f.kind, f.subject, f.account_id, f.actor, json.dumps(f.payload)) for f in facts), strict=True)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO journal_event (kind, subject, account_id, actor, payload) "
            "SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[], %s::jsonb[])",
            [list(column) for column in columns],
        )
