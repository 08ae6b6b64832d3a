"""The admin's sidebar and what is the same on every page of it. Named by the UNFOLD settings."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

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
        ("Log lines", "article", "journal", "logline"),
        ("Timetable", "schedule", "django_celery_beat", "periodictask"),
        ("Jobs by calendar", "event_repeat", "ops", "job"),
        ("Backups", "backup", "ops", "backuprun"),
        ("Configuration", "tune", "ops", "configurationversion"),
    ),
    "Access": (
        ("Users", "person", "access", "user"),
        ("Groups", "group", "auth", "group"),
        ("API tokens", "key", "access", "apitoken"),
        ("Sign-ins", "devices", "access", "signin"),
        ("Changes of settings", "manage_history", "access", "change"),
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


def _item(title: str, icon: str, app: str, model: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(f"admin:{app}_{model}_changelist")}


def _page(title: str, icon: str, name: str, right: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(name)}


def _may_view(request: HttpRequest, app: str, model: str) -> bool:
    allowed: Callable[[str], bool] = request.user.has_perm
    return allowed(f"{app}.view_{model}") or allowed(f"{app}.change_{model}")
