"""The admin's first page: what an operator wants to know first, in a fixed number of queries."""

from typing import Any, Final

from django.db.models import Count
from django.http import HttpRequest
from django.utils import timezone

from apps.journal.models import Pulse
from apps.market.models import FeedStatus
from apps.reporting import selectors as reporting
from apps.reporting.models import Delivery, DeliveryStatus
from apps.trading import selectors
from apps.trading.models import Violation
from apps.web.desk import glance, health

VIOLATIONS: Final = 5
NEWEST: Final = 2_000  # deliveries looked through for those given up: the table has years of them


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Return what the first page shows. Named by the UNFOLD settings."""
    now = timezone.now()
    accounts = list(selectors.for_user(request.user).order_by("id"))
    keys = [account.pk for account in accounts]
    counts = glance.counts(keys, now)
    feeds, pulses = list(FeedStatus.objects.all()), list(Pulse.objects.order_by("name", "host", "pid"))
    return context | {
        "now": now,
        "counts": counts,
        "worths": glance.worths(accounts, glance.history(keys, now), counts.exposure, now),
        "health": [
            health.feeds(feeds),
            health.processes(pulses, now),
            health.queues(),
            health.exits(counts.waiting, counts.oldest, now),
        ],
        "feeds": feeds,
        "pulses": [(pulse, now - pulse.beat_at < health.SILENT_AFTER) for pulse in pulses],
        "restrictions": selectors.restrictions(),
        "may_stop": request.user.has_perm("trading.restrict"),
        "violations": list(_violations(keys)) if counts.violations else [],
        "given_up": list(_given_up(request)),
    }


def _violations(accounts: list[int]) -> Any:
    rows = Violation.objects.filter(account__in=accounts, ended_at=None)
    return rows.select_related("account").order_by("-id")[:VIOLATIONS]


def _given_up(request: HttpRequest) -> Any:
    """Count by channel how many of the newest deliveries were given up."""
    user = request.user
    newest = reporting.own(Delivery.objects.all(), user, route__person_id=user.pk).order_by("-id").values("pk")[:NEWEST]
    dead = Delivery.objects.filter(pk__in=newest, status=DeliveryStatus.DEAD).order_by("channel__name")
    return dead.values("channel__name", "channel__last_error").annotate(count=Count("pk"))
