"""Which accounts, instruments, strategies and days are asked about?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db import connection


class Period(StrEnum):
    """How long a row of a table by time is, in UTC; a week begins on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Rows of these accounts, of [since, until) where given; an empty list of accounts selects nothing."""

    accounts: Sequence[int]
    instrument: int | None = None
    strategy: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    def where(self, *, at: str, rows: str = "p") -> str:
        """Return the conditions on tables named by their letters: `at` is the column of time, `rows` has the account.

        The strategy of a row is that of the signal its lot was opened by, so `s` has to be the signal.
        """
        found = [f"{rows}.account_id = ANY(%(accounts)s)"]
        if self.instrument is not None:
            found.append(f"{rows}.instrument_id = %(instrument)s")
        if self.strategy is not None:
            found.append("s.strategy_id = %(strategy)s")
        if self.since is not None:
            found.append(f"{at} >= %(since)s")
        if self.until is not None:
            found.append(f"{at} < %(until)s")
        return " AND ".join(found)

    def signal(self, position: str) -> str:
        """Return the join to the signal of a lot, where the selection needs it."""
        return f"JOIN strategies_signal s ON s.id = {position}.signal_id" if self.strategy is not None else ""

    def ask(self, statement: str, **more: Any) -> list[tuple[Any, ...]]:
        """Run a statement with the selection's values and return its rows."""
        with connection.cursor() as cursor:
            cursor.execute(statement, self.values(**more))
            return list(cursor.fetchall())

    def values(self, **more: Any) -> dict[str, Any]:
        """Return the values of a statement's parameters."""
        return {
            "accounts": list(self.accounts),
            "instrument": self.instrument,
            "strategy": self.strategy,
            "since": self.since,
            "until": self.until,
            **more,
        }
