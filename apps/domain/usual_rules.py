"""Which rules does a trading site usually want? The schedules of the product's sources, by name, with what cron said.

Cron lines are quoted to show what they were meant to say: most of them fire outside the session, on holidays, or not
at all.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from apps.domain import exchanges, rule_text
from apps.domain.calendar_rules import Rule

NEW_YORK: Final = "XNYS"


@dataclass(frozen=True, kw_only=True)
class Usual:
    """A rule by name: the items of the requirements it answers, the cron line it replaces, its calendar and text."""

    name: str
    items: tuple[str, ...]
    cron: str
    text: str
    calendar: str = NEW_YORK

    @cached_property
    def rule(self) -> Rule:
        """Return the rule itself."""
        return rule_text.parse(self.text)


USUAL: Final = (
    Usual(name="market-data", items=("001-53",), cron="* 9-16 * * 1-5", text="every 1m in session"),
    Usual(name="run-strategies", items=("001-54",), cron="*/5 9-16 * * 1-5", text="every 5m in session"),
    Usual(
        name="daily-report",
        items=("001-55", "001-60", "001-71"),
        cron="0 17 * * 1-5",
        text="at 17:00 America/New_York on sessions",
    ),
    Usual(
        name="backup",
        items=("001-56",),
        cron="0 2 * * *",
        text="at 02:00 America/New_York",
        calendar=exchanges.ALWAYS,
    ),
    Usual(
        name="cleaning",
        items=("001-57",),
        cron="0 3 * * 0",
        text="at 03:00 America/New_York on Sun",
        calendar=exchanges.ALWAYS,
    ),
    Usual(name="market-open", items=("001-66",), cron="30 9 * * 1-5", text="at open"),
    Usual(name="market-close", items=("001-67", "001-77"), cron="0 16 * * 1-5", text="at close"),
    Usual(name="pre-market", items=("001-68",), cron="0 4-9 * * 1-5", text="every 1h in pre-market"),
    Usual(name="after-hours", items=("001-69",), cron="0 16-20 * * 1-5", text="every 1h in after-market including end"),
    Usual(name="every-minute", items=("001-70",), cron="* 9-16 * * 1-5", text="every 1m in session"),
    Usual(name="every-5-minutes", items=("001-70",), cron="*/5 9-16 * * 1-5", text="every 5m in session"),
    Usual(name="every-15-minutes", items=("001-70",), cron="*/15 9-16 * * 1-5", text="every 15m in session"),
    Usual(name="every-hour", items=("001-70",), cron="0 9-16 * * 1-5", text="every 1h in session"),
    Usual(
        name="morning-preparation", items=("001-72",), cron="0 8 * * 1-5", text="at 08:00 America/New_York on sessions"
    ),
    Usual(
        name="weekly-report",
        items=("001-73",),
        cron="0 18 * * 5",
        text="at 18:00 America/New_York on last session of week",
    ),
    Usual(
        name="monthly-report",
        items=("001-74",),
        cron="0 18 L * *",
        text="at 18:00 America/New_York on last session of month",
    ),
    Usual(
        name="month-end",
        items=("001-74",),
        cron="0 18 L * *",
        text="at 18:00 America/New_York on last day of month",
    ),
    Usual(name="trading-days", items=("001-75",), cron="", text="at 00:00 America/New_York on sessions"),
    Usual(name="weekdays", items=("001-76",), cron="0 0 * * 1-5", text="at 00:00 America/New_York on Mon-Fri"),
)


BY_NAME: Final = {usual.name: usual for usual in USUAL}
