"""How near an account is to its limits, what is broken, and how both went through the last day."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.db.models import F
from django.http import HttpRequest, HttpResponse

from apps.access.desk import pages
from apps.domain.risk.facts import Facts, Need
from apps.trading import selectors
from apps.trading.models import Violation
from apps.trading.services import gathering
from apps.trading.services import risk as limits
from apps.trading.services.risk import Ruled
from apps.web.desk import doors, glance
from apps.web.desk.drawing import Line

MOST: Final = 30
NEAR: Final = Decimal("0.8")  # of a limit: worth a look


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """A limit that can be judged without a wish, and how much of it is used."""

    ruled: Ruled
    used: Decimal | None  # as a rate of the limit; None where the two cannot be compared

    @property
    def length(self) -> float:
        """How long it is drawn, 0 to 100."""
        return 0.0 if self.used is None else float(min(max(self.used, Decimal(0)), Decimal(1)) * 100)

    @property
    def tone(self) -> str:
        """Say in a word how it stands."""
        if not self.ruled.verdict.allowed:
            return "bad"
        return "warn" if self.used is not None and self.used >= NEAR else "good"

    @property
    def word(self) -> str:
        """Say the same for reading."""
        return {"bad": "broken", "warn": "near", "good": "within"}[self.tone]


@doors.page
def show(request: HttpRequest) -> HttpResponse:
    """Show one account's gauges, and the violations of all the person's accounts."""
    now = pages.now()
    accounts = list(selectors.for_user(request.user).order_by("id"))
    account = doors.chosen_account(request, accounts)
    violations = Violation.objects.filter(account__in=[row.pk for row in accounts]).select_related("account")
    context: dict[str, Any] = {
        "title": "Risk",
        "account": account,
        "violations": list(violations.order_by(F("ended_at").desc(nulls_first=True), "-id")[:MOST]),
    }
    if account is not None:
        rows = limits.limits(account)
        facts = gathering.of_account(account, {*limits.needs(rows), Need.MONEY, Need.HISTORY}, now)
        measured = glance.history([account.pk], now)
        context |= {
            "facts": facts,
            "drawdown": _drawdown(facts),
            "gauges": [_gauge(limits.judge(row, facts)) for row in rows if limits.is_continuous(row)],
            "others": [row for row in rows if not limits.is_continuous(row)],
            "curve": _curve([float(row.equity) for row in measured]),
        }
    return doors.show(request, "risk", context)


def _gauge(ruled: Ruled) -> Gauge:
    number, limit = abs(ruled.verdict.number), abs(ruled.verdict.limit)
    return Gauge(ruled=ruled, used=number / limit if limit else None)


def _drawdown(facts: Facts) -> Decimal | None:
    if facts.history is None or facts.equity is None:
        return None
    peak = max(facts.history.peak, facts.equity)
    return (peak - facts.equity) / peak if peak > 0 else None


def _curve(values: Sequence[float]) -> Line | None:
    return Line.of(values) if len(values) > 1 else None
