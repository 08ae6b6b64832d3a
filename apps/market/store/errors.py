"""What the store answers when it cannot do as asked.

RefusedRows        a rule of the tables said no (NaN, a naive time, high below low): a retry changes nothing
StoreUnavailable   the database is away or not ready: a retry later is worth it
    StoreBusy      another session was in the way (deadlock, lock time-out, same row): a retry at once is worth it
"""

from __future__ import annotations

import psycopg2
from psycopg2 import errors

from apps.domain.errors import Problem, Refused, Unavailable


class RefusedRows(Refused):
    """A batch held a row that the tables do not accept; nothing of that batch was stored."""

    def __init__(self, rule: str, *, field: str = "rows", value: str = "") -> None:
        super().__init__(
            Problem(field=field, value=value, rule=rule, remedy="mend or leave out the row, send the rest")
        )


class StoreUnavailable(Unavailable):
    """The database did not answer; whatever was not committed is gone and may be sent again."""


class StoreBusy(StoreUnavailable):
    """The transaction lost against another session and was rolled back."""


OVERTAKEN = (errors.DeadlockDetected, errors.LockNotAvailable, errors.SerializationFailure, errors.UniqueViolation)
OUTSIDE = (psycopg2.OperationalError, psycopg2.InterfaceError)
RULES = (psycopg2.DataError, psycopg2.IntegrityError)


def translate(error: BaseException | None) -> Exception | None:
    """Find the store's word for a driver's error; None where the error is a bug, which must stay loud."""
    if isinstance(error, OVERTAKEN):
        return StoreBusy(f"market store: {_said(error)}")
    if isinstance(error, OUTSIDE):
        return StoreUnavailable(f"market store: {_said(error)}")
    return _refused(error) if isinstance(error, RULES) else None


def _refused(error: psycopg2.Error) -> RefusedRows:
    found = error.diag
    field = found.constraint_name or found.column_name or "rows"
    return RefusedRows(_said(error), field=field, value=found.context or found.message_detail or "")


def _said(error: psycopg2.Error) -> str:
    return error.diag.message_primary or str(error).strip() or type(error).__name__
