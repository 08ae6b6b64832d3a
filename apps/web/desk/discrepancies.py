"""Where a venue and our books differ: read here, resolved in the admin with a reason."""

from typing import Final

from django.db.models import Case, IntegerField, Value, When
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse

from apps.trading import selectors
from apps.trading.models import Discrepancy
from apps.trading.models.reconciling import Resolution, Standing
from apps.web.desk import doors

MOST: Final = 100


@doors.page
def show(request: HttpRequest) -> HttpResponse:
    """Show the inbox, open ones first, and how each account stands with its venue."""
    own = selectors.for_user(request.user)
    first = Case(When(resolution=Resolution.OPEN, then=Value(0)), default=Value(1), output_field=IntegerField())
    rows = Discrepancy.objects.filter(account__in=own).select_related("account").order_by(first, "-id")
    may = request.user.has_perm("trading.resolve") and bool(getattr(request.user, "is_staff", False))
    context = {
        "title": "Discrepancies",
        "rows": [(row, _address(row) if may else "") for row in rows[:MOST]],
        "standings": list(Standing.objects.filter(account__in=own).select_related("account").order_by("account_id")),
    }
    return doors.show(request, "discrepancies", context)


def _address(row: Discrepancy) -> str:
    try:
        return reverse("admin:trading_discrepancy_change", args=[row.pk])
    except NoReverseMatch:
        return ""
