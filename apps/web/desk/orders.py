"""Orders and why: what was asked of brokers, what every rule said, and what was refused."""

from typing import Any, Final

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from apps.domain.states import ENDED_ORDERS
from apps.trading import selectors
from apps.trading.models import Decision, Order
from apps.web.desk import doors

MOST: Final = 50


@doors.page
def show_all(request: HttpRequest) -> HttpResponse:
    """List the newest orders, and the newest decisions with those that were refused."""
    decisions = _decisions(request)
    refused = request.GET.get("show") == "refused"
    context = {
        "title": "Orders",
        "orders": list(_orders(request)[:MOST]),
        "decisions": list((decisions.filter(approved=False) if refused else decisions)[:MOST]),
        "refused": refused,
        "ended": ENDED_ORDERS,
        "most": MOST,
    }
    return doors.show(request, "orders", context)


@doors.page
def show(request: HttpRequest, order_id: int) -> HttpResponse:
    """Show one order: what it is for, how far it came, and the decision it rests on."""
    order = _orders(request).select_related("decision", "decision__strategy", "exit").filter(pk=order_id).first()
    if order is None:
        raise Http404
    context = {
        "title": f"Order #{order.pk}",
        "order": order,
        "fills": list(order.fills.order_by("id")[:MOST]),
        "decision": order.decision,
        "verdicts": verdicts(order.decision) if order.decision else [],
        "ended": order.status in ENDED_ORDERS,
    }
    return doors.show(request, "order", context)


@doors.page
def show_decision(request: HttpRequest, decision_id: int) -> HttpResponse:
    """Show one decision with what every rule said."""
    decision = _decisions(request).filter(pk=decision_id).first()
    if decision is None:
        raise Http404
    context = {
        "title": f"Decision #{decision.pk}",
        "decision": decision,
        "verdicts": verdicts(decision),
        "orders": list(_orders(request).filter(decision=decision)[:MOST]),
    }
    return doors.show(request, "decision", context)


def verdicts(decision: Decision) -> list[dict[str, Any]]:
    """Return what every rule said, those that refused first."""
    said = [row for row in decision.verdicts if isinstance(row, dict)]
    return sorted(said, key=lambda row: bool(row.get("allowed")))


def _orders(request: HttpRequest) -> QuerySet[Order]:
    rows = Order.objects.select_related("account", "instrument").order_by("-id")
    return rows if selectors.sees_all(request.user) else rows.filter(account__in=selectors.for_user(request.user))


def _decisions(request: HttpRequest) -> QuerySet[Decision]:
    rows = Decision.objects.select_related("account", "instrument", "strategy").order_by("-id")
    return rows if selectors.sees_all(request.user) else rows.filter(account__in=selectors.for_user(request.user))
