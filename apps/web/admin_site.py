"""The admin's sidebar and its first page: trading at a glance. Named by the UNFOLD settings."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any, NamedTuple

from django.db.models import Count, QuerySet, Value
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone

from apps.domain.states import ExitStatus, PositionStatus
from apps.journal.models import Lease, Pulse
from apps.market.models import FeedStatus
from apps.trading import selectors

SILENT_AFTER = timedelta(seconds=10)
NEWEST = 10_000  # exits the percentiles are taken of, at most
ALERT_WAITING = timedelta(seconds=2)

# Section -> (title, icon, app, model)
SECTIONS: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "Trading": (
        ("Positions", "show_chart", "trading", "position"),
        ("Exits", "logout", "trading", "exit"),
        ("Orders", "swap_vert", "trading", "order"),
        ("Decisions", "gavel", "trading", "decision"),
        ("Discrepancies", "difference", "trading", "discrepancy"),
        ("Accounts", "account_balance_wallet", "trading", "account"),
        ("Fills", "receipt_long", "trading", "fill"),
        ("Ledger", "menu_book", "trading", "ledgerentry"),
        ("Stop trading", "front_hand", "trading", "restriction"),
    ),
    "Risk": (
        ("Limits", "speed", "trading", "risklimit"),
        ("Profiles", "shield", "trading", "riskprofile"),
        ("Violations", "warning", "trading", "violation"),
    ),
    "Market": (
        ("Instruments", "straighten", "market", "instrument"),
        ("Quotes", "sell", "market", "quote"),
        ("Data quality", "grid_on", "market", "inspection"),
        ("Gaps", "running_with_errors", "market", "gap"),
        ("Trading sessions", "calendar_month", "market", "tradingsession"),
    ),
    "Strategies": (
        ("Strategies", "psychology", "strategies", "strategy"),
        ("Signals", "notifications", "strategies", "signal"),
        ("Backtests", "query_stats", "backtests", "run"),
        ("Evidence", "verified", "backtests", "evidence"),
    ),
    "Reporting": (
        ("Channels", "send", "reporting", "channel"),
        ("Routes", "alt_route", "reporting", "route"),
        ("Deliveries", "mark_email_read", "reporting", "delivery"),
        ("Words", "edit_note", "reporting", "wording"),
        ("Quiet hours", "bedtime", "reporting", "habit"),
        ("Telegram chats", "chat", "reporting", "chat"),
    ),
    "System": (
        ("Journal", "history", "journal", "event"),
        ("Feeds", "rss_feed", "market", "feedstatus"),
        ("Leaders", "flag", "journal", "lease"),
        ("Processes", "monitor_heart", "journal", "pulse"),
        ("Timetable", "schedule", "django_celery_beat", "periodictask"),
        ("Backups", "backup", "ops", "backuprun"),
    ),
    "Access": (
        ("Users", "person", "access", "user"),
        ("Groups", "group", "auth", "group"),
        ("API tokens", "key", "access", "apitoken"),
        ("Sign-ins", "devices", "access", "signin"),
    ),
}
# Section -> (title, icon, name of the address, permission): pages that belong to no model.
PAGES: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "Trading": (("Statistics", "monitoring", "statistics", "trading.view_ledgerentry"),),
    "Risk": (("Gauges", "avg_pace", "risk", "trading.view_risklimit"),),
}


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the sidebar; Unfold leaves out what the person may not see."""
    glance = {"title": "At a glance", "icon": "dashboard", "link": reverse("admin:index")}
    desk = {"title": "Desk", "icon": "candlestick_chart", "link": reverse("desk:overview")}
    groups: list[dict[str, Any]] = [{"items": [glance, desk]}]
    for title, models in SECTIONS.items():
        items = [_item(*model) for model in models if _may_view(request, *model[2:])]
        items += [_page(*page) for page in PAGES.get(title, ()) if request.user.has_perm(page[3])]
        if items:
            groups.append({"title": title, "separator": True, "items": items})
    return groups


def stylesheet(request: HttpRequest) -> str:
    """Return the address of the desk's own styles."""
    return static("desk/admin.css")


def favicon(request: HttpRequest) -> str:
    """Return the address of the site's icon."""
    return static("desk/icon.svg")


def environment(request: HttpRequest) -> list[str]:
    """Say beside the title that no real money moves."""
    return ["Paper", "info"]


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return what the first page shows, in a fixed number of queries."""
    now = timezone.now()
    waiting = selectors.exits_waiting()
    return context | {
        "now": now,
        "books": books(request),
        **_counts(
            open_positions=selectors.positions(request.user).exclude(status=PositionStatus.CLOSED),
            closes_today=selectors.positions(request.user).filter(closed_at__gte=_midnight(now)),
            discrepancies=selectors.discrepancies(request.user),
        ),
        "waiting": waiting,
        "waiting_long": bool(waiting.oldest and now - waiting.oldest > ALERT_WAITING),
        "latency": latency(now),
        "feeds": list(FeedStatus.objects.all()),
        "restrictions": selectors.restrictions(),
        "may_stop": request.user.has_perm("trading.restrict"),
        "leaders": list(Lease.objects.all()),
        "pulses": [(pulse, now - pulse.beat_at < SILENT_AFTER) for pulse in Pulse.objects.all()],
        "recent": selectors.exits(request.user).filter(status=ExitStatus.DONE).order_by("-closed_at")[:8],
    }


class Books(NamedTuple):
    """What the person's accounts are worth together in one currency."""

    currency: str
    equity: Decimal
    profit: Decimal  # taken and open, less fees
    exact: bool  # False when a price is missing


def books(request: HttpRequest) -> list[Books]:
    """Return the sum of the person's accounts per currency."""
    sheets = selectors.balances(selectors.for_user(request.user).values_list("id", flat=True))
    sums: dict[str, Books] = {}
    for sheet in (sheet for group in sheets.values() for sheet in group):
        last = sums.get(sheet.currency, Books(sheet.currency, Decimal(0), Decimal(0), True))
        equity = sheet.cash + sheet.holdings if sheet.equity is None else sheet.equity
        profit = equity - sheet.deposits
        exact = last.exact and sheet.equity is not None
        sums[sheet.currency] = Books(sheet.currency, last.equity + equity, last.profit + profit, exact)
    return list(sums.values())


class Latency(NamedTuple):
    """Tick to close in milliseconds over the last hour."""

    exits: int
    p50: float
    p99: float


def latency(now: datetime) -> Latency | None:
    """Return the percentiles of the last hour's newest exits; None when there were none."""
    found = sorted(selectors.exit_latencies(since=now - timedelta(hours=1), limit=NEWEST))
    if not found:
        return None

    def percentile(part: float) -> float:
        return found[ceil(part * len(found)) - 1] * 1000

    return Latency(len(found), percentile(0.5), percentile(0.99))


def _counts(**rows: QuerySet[Any]) -> dict[str, int]:
    """Count several things with one query."""
    first, *rest = (
        each.order_by().annotate(what=Value(name)).values_list("what").annotate(Count("pk"))
        for name, each in rows.items()
    )
    return dict.fromkeys(rows, 0) | dict(first.union(*rest, all=True))


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _item(title: str, icon: str, app: str, model: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(f"admin:{app}_{model}_changelist")}


def _page(title: str, icon: str, name: str, right: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(name)}


def _may_view(request: HttpRequest, app: str, model: str) -> bool:
    allowed: Callable[[str], bool] = request.user.has_perm
    return allowed(f"{app}.view_{model}") or allowed(f"{app}.change_{model}")
