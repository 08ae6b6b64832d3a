"""The report of a backtest: one self-contained HTML file that a person can read, print and keep.

from apps.backtests import report
report.html(outcome)                 # a fresh outcome
report.page.html(report.Subject(...))  # anything else, a stored run for example
"""

from datetime import datetime

from apps.backtests.outcomes import Outcome
from apps.backtests.report import page
from apps.backtests.report.subject import Subject

__all__ = ["Subject", "html", "page"]


def html(outcome: Outcome, *, title: str = "", made_at: datetime | None = None) -> str:
    """Return the report of an outcome as HTML; `title` names it, `made_at` is the time it was asked for."""
    return page.html(Subject.of(outcome, title=title, made_at=made_at))
