"""Who may do what: four roles as groups, each with the permissions that this version says.

A migration of any app sets them anew. For other combinations make groups of your own: those are never touched.
"""

from collections.abc import Iterable
from typing import Any, Final

from django.apps import AppConfig
from django.contrib.auth.models import Group, Permission
from django.db import transaction

VIEWER: Final = "Viewer"
TRADER: Final = "Trader"
RISK_OFFICER: Final = "Risk officer"
ADMINISTRATOR: Final = "Administrator"

# What a viewer sees all rows of (of their own accounts, where rows belong to accounts).
_SEEN: Final = ("journal", "market", "strategies", "backtests", "trading", "ops", "reporting")
_HIDDEN: Final = frozenset({"trading.view_credential"})
# Who sees a fire may press the alarm: stopping is safe, allowing again is not.
_TRADES: Final = frozenset(
    {
        "trading.add_position",
        "trading.change_position",
        "trading.add_order",
        "trading.change_order",
        "trading.add_account",
        "trading.change_account",
        "trading.add_allocation",
        "trading.change_allocation",
        "trading.delete_allocation",
        "trading.restrict",
        "strategies.add_strategy",
        "strategies.change_strategy",
        "backtests.add_run",
        "backtests.change_run",
        "backtests.add_evidence",
        "access.view_apitoken",
        "access.add_apitoken",
        "access.change_apitoken",
    }
)
_WATCHES: Final = frozenset(
    {
        "access.see_all_accounts",
        "trading.change_position",
        "trading.change_order",
        "trading.restrict",
        "trading.rearm",
        "trading.resolve",
        "trading.add_risklimit",
        "trading.change_risklimit",
        "trading.delete_risklimit",
        "trading.add_riskprofile",
        "trading.change_riskprofile",
        "trading.delete_riskprofile",
    }
)
# Everything in these apps; of the library behind sign-in only what the admin shows.
APPS: Final = (*_SEEN, "access", "auth", "django_celery_beat")

ROLES: Final = (VIEWER, TRADER, RISK_OFFICER, ADMINISTRATOR)


def allows(role: str, permission: str) -> bool:
    """Say whether a role has a permission, written like `trading.view_position`."""
    app, _, codename = permission.partition(".")
    if role == ADMINISTRATOR:
        return app in APPS
    seen = codename.startswith("view_") and app in _SEEN and permission not in _HIDDEN
    more = {TRADER: _TRADES, RISK_OFFICER: _WATCHES}.get(role, frozenset())
    return seen or permission in more


def set_all(labels: Iterable[str]) -> None:
    """Make the groups where they are missing, and give each exactly its permissions in these apps; safe to repeat."""
    labels = list(labels)
    rows = list(Permission.objects.filter(content_type__app_label__in=labels).select_related("content_type"))
    with transaction.atomic():
        for role in ROLES:
            group, _ = Group.objects.get_or_create(name=role)
            wanted = {row.pk for row in rows if allows(role, f"{row.content_type.app_label}.{row.codename}")}
            held = set(group.permissions.filter(content_type__app_label__in=labels).values_list("pk", flat=True))
            group.permissions.remove(*(held - wanted))
            group.permissions.add(*(wanted - held))


def after_migrate(sender: AppConfig, **_later: Any) -> None:
    """Follow a migration of an app: its permissions exist now, whatever order the apps came in."""
    if sender.label in APPS:
        set_all([sender.label])
