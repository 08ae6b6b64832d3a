"""The page of risk in the admin: how near an account is to each limit, and how it went.

It stands here and not beside the other pages of trading because it draws with the charts of backtests, and of the two
neither app knows the other.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import numpy as np
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from apps.access.desk import pages
from apps.backtests.admin import drawing
from apps.backtests.admin.drawing import Curve
from apps.domain.risk.contract import Verdict
from apps.trading import selectors
from apps.trading.admin import places
from apps.trading.models import Account, RiskLimit, RiskMetric, Violation
from apps.trading.services import monitoring, risk
from apps.trading.services.monitoring import Look

TEMPLATE: Final = "admin/trading/risk.html"
RIGHT: Final = "trading.view_risklimit"
SPANS: Final = {"1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
NEAR: Final = Decimal("0.8")  # of a limit: worth a look
MOST: Final = 200  # accounts offered
LAST: Final = 10  # violations shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """A limit and how much of it is used; None where its rule could not judge or nothing is allowed at all."""

    limit: RiskLimit
    verdict: Verdict
    used: Decimal | None

    @property
    def width(self) -> float:
        """How long its bar is, of 100."""
        return float(min(self.used or Decimal(0), Decimal(1)) * 100)

    @property
    def word(self) -> str:
        """Say how it stands."""
        if not self.verdict.known:
            return "not known"
        if not self.verdict.allowed:
            return "broken"
        return "near" if self.used is not None and self.used >= NEAR else "holds"

    @property
    def tone(self) -> str:
        """Repeat the word as a colour."""
        return {"not known": "warn", "broken": "bad", "near": "warn", "holds": "good"}[self.word]


def show(request: HttpRequest) -> HttpResponse:
    """Show one account's gauges, curves and last violations, to who may look at limits."""
    if not request.user.has_perm(RIGHT):
        raise PermissionDenied
    now = pages.now()
    mine = selectors.for_user(request.user).order_by("name", "id")
    asked = request.GET.get("account", "")
    account = mine.filter(pk=int(asked)).first() if asked.isascii() and asked.isdecimal() else mine.first()
    span = request.GET.get("span", "1d")
    context = {
        **admin.site.each_context(request),
        "title": "Risk",
        "accounts": list(mine[:MOST]),
        "account": account,
        "span": span if span in SPANS else "1d",
        "spans": list(SPANS),
        **(_of(account, SPANS.get(span, SPANS["1d"]), now) if account else {}),
    }
    return TemplateResponse(request, TEMPLATE, context)


def _of(account: Account, span: timedelta, now: datetime) -> dict[str, Any]:
    look = monitoring.look(account, now)
    limits = {row.pk: row for row in RiskLimit.objects.filter(pk__in=[each.id for each in risk.limits(account)])}
    watched = {each.limit.id for each in (*look.ruled, *look.unsure)}
    places.name_all(limits.values())
    violations = Violation.objects.filter(account=account).select_related("limit").order_by("-id")
    return {
        "measure": look.measure,
        "gauges": _gauges(look, limits),
        "others": [row for pk, row in limits.items() if pk not in watched],
        "violations": list(violations[:LAST]),
        "pictures": _pictures(account, now - span),
    }


def _gauges(look: Look, limits: dict[int, RiskLimit]) -> list[Gauge]:
    """Return the limits that are watched, the fullest first."""
    found = [
        Gauge(limit=limits[each.limit.id], verdict=each.verdict, used=_used(each.verdict))
        for each in (*look.unsure, *look.ruled)
        if each.limit.id in limits
    ]
    return sorted(found, key=lambda one: (one.verdict.allowed, -(one.used or 0)))


def _used(verdict: Verdict) -> Decimal | None:
    if not verdict.known or verdict.limit <= 0:
        return None
    return max(verdict.number, Decimal(0)) / verdict.limit


def _pictures(account: Account, since: datetime) -> list[tuple[str, SafeString]]:
    """Draw equity, exposure and the fall from the peak, minute by minute."""
    rows = RiskMetric.objects.filter(account=account, at__gte=since).order_by("at")
    told = rows.values_list("at", "equity", "gross", "net", "peak", "lowest")
    values = np.array(
        [(at.timestamp(), equity, gross, net, peak, equity if low is None else low)
         for at, equity, gross, net, peak, low in told], np.float64
    )  # fmt: skip
    if len(values) < 2:
        return []
    return [
        (f"Equity in {account.currency}", _drawn("equity", values, {"equity": 1, "highest so far": 4})),
        (f"Exposure in {account.currency}", _drawn("exposure", values, {"gross": 2, "net": 3})),
        ("Fall from the highest equity in %", _falls(values)),
    ]


def _drawn(label: str, found: drawing.Floats, columns: dict[str, int]) -> SafeString:
    return drawing.chart([Curve(name, _across(found), found[:, place]) for name, place in columns.items()], label)


def _falls(found: drawing.Floats) -> SafeString:
    peaks = np.where(found[:, 4] > 0, found[:, 4], 1.0)
    falls = np.minimum(-100 * (found[:, 4] - found[:, 5]) / peaks, 0.0)
    return drawing.chart([Curve("fall", _across(found), falls)], "fall from the highest equity")


def _across(found: drawing.Floats) -> drawing.Floats:
    """Return where each minute stands from left to right, so that a gap in the measures is a gap in the picture."""
    times = found[:, 0]
    return np.asarray((times - times[0]) / max(times[-1] - times[0], 1.0), np.float64)
