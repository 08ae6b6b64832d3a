"""Orders: looked at in full, taken back and changed through pages that call one service each."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from apps.access.desk import cells, pages
from apps.access.desk.fields import LineField, NumberField
from apps.domain import numbers
from apps.domain.orders import Purpose
from apps.domain.states import ENDED_ORDERS, OrderStatus
from apps.journal.models import Event
from apps.trading.admin.rows import AccountFilter, InstrumentFilter, OwnReadOnly
from apps.trading.models import Fill, Order
from apps.trading.services import ordering

TEMPLATE = "admin/trading/order/life.html"
LIST = "admin:trading_order_changelist"
EVENTS = 100
TONES = {
    OrderStatus.NEW: "busy",
    OrderStatus.SUBMITTING: "busy",
    OrderStatus.UNKNOWN: "warn",
    OrderStatus.ACCEPTED: "good",
    OrderStatus.PARTIALLY_FILLED: "good",
    OrderStatus.CANCELLING: "busy",
    OrderStatus.FILLED: "good",
    OrderStatus.REJECTED: "bad",
}
_SAYS = {
    ordering.Told.CREATED: "Stored, not sent yet",
    ordering.Told.SENT: "Handed to the broker by {worker}",
    ordering.Told.POSTPONED: "Certainly not sent: {why}",
    ordering.Told.CANCEL_ASKED: "To be taken back: {why}",
    ordering.Told.CANCELLING: "The venue is asked to take it back",
    ordering.Told.AMEND_ASKED: "To be changed to {wanted}",
    ordering.Told.AMENDED: "Changed at the venue",
    ordering.Told.AMEND_REFUSED: "The venue would not change it: {why}",
    ordering.Told.AMEND_DROPPED: "Not changed: {why}",
    "order.unanswered": "The answer was lost: the venue is asked about it",
    "order.waiting": "Nobody has tried to send it for more than 5 seconds",
    "order.questioned": "What the venue says of it does not fit: {notes}",
    "order.exceeded": "Filled beyond its position by {beyond}: lot {lot}",
}


class CancelForm(forms.Form):
    """Why it is taken back."""

    reason = LineField(max_length=200, required=False, help_text="One line for the journal; may be empty.")


class AmendForm(forms.Form):
    """What it shall become; an empty field stays as it is."""

    quantity = NumberField(positive=True, required=False, help_text="The whole, what is filled included.")
    limit_price = NumberField(positive=True, required=False)
    stop_price = NumberField(positive=True, required=False)

    def __init__(self, order: Order, given: Any = None) -> None:
        names = ("quantity", "limit_price", "stop_price")
        super().__init__(given, initial={name: getattr(order, name) for name in names})
        for name, kinds in (("limit_price", ordering.LIMITS), ("stop_price", ordering.STOPS)):
            if order.kind not in kinds:
                del self.fields[name]

    def change(self) -> ordering.Change:
        """Return what was changed."""
        return ordering.Change(**{name: self.cleaned_data[name] for name in self.changed_data})


@cells.computed("order", "id")
def what(row: Order) -> str:
    """Say what it buys or sells, and how."""
    return format_html('<span class="word">{} {}</span>', cells.tag(*_way(row)), row.kind.replace("_", " "))


@cells.computed("status", "status")
def status(row: Order) -> str:
    """Show the status, and that it is to be taken back or changed."""
    shown = cells.tag(row.status, TONES.get(OrderStatus(row.status), "idle"))
    if row.status in ENDED_ORDERS:
        return shown
    if row.cancel_asked_at:
        return format_html("{} {}", shown, cells.tag("to be cancelled", "warn"))
    return format_html("{} {}", shown, cells.tag("to be changed", "busy")) if row.amendment else shown


@cells.computed("filled")
def filled(row: Order) -> str:
    """Show what was filled of how much."""
    return format_html('<span class="num">{} of {}</span>', numbers.plain(row.filled), numbers.plain(row.quantity))


@cells.computed("price")
def price(row: Order) -> str:
    """Show the limit and the stop it waits for; at the market there is none."""
    shown = [f"{name} {numbers.plain(value)}" for name, value in (("limit", row.limit_price), ("stop", row.stop_price))
             if value is not None]  # fmt: skip
    return format_html('<span class="num">{}</span>', ", ".join(shown)) if shown else "market"


@cells.computed("average")
def average(row: Order) -> str:
    """Show the average price of its fills."""
    return cells.number("average_price")(row)


@admin.register(Order)
class OrderAdmin(OwnReadOnly):
    """Every order at a broker, newest first."""

    list_display = (
        "id",
        cells.text("account"),
        cells.text("instrument"),
        what,
        cells.word("purpose", tones={}),
        price,
        filled,
        average,
        status,
        cells.instant("created_at", "created"),
    )
    list_filter = ("status", "purpose", "kind", AccountFilter, InstrumentFilter)
    search_fields = ("=id", "=client_id", "=venue_id", "=request_key", "=position__id")
    search_help_text = "Number, client id, the venue's id, request key, or number of the position"
    list_select_related = ("account", "instrument")

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """Let the page of an exit link to its orders."""
        return lookup == "exit__id__exact" or super().lookup_allowed(lookup, value, request)

    def get_urls(self) -> list[URLPattern]:
        """Add the pages that ask before they act."""
        own = [
            path("<int:order_id>/cancel/", self.admin_site.admin_view(self.cancel), name="trading_order_cancel"),
            path("<int:order_id>/amend/", self.admin_site.admin_view(self.amend), name="trading_order_amend"),
        ]
        return [*own, *super().get_urls()]

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Taking back and changing count as changing one."""
        return request.user.has_perm("trading.change_order")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Tell the life of an order."""
        order = self._order(request, object_id)
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        may_act = order.status not in ENDED_ORDERS and self.has_act_permission(request)
        events = Event.objects.filter(subject=f"order:{order.pk}").order_by("-id")[:EVENTS]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta,
            "original": order,
            "title": f"Order {order.pk}",
            "order": order,
            "way": _way(order)[0],
            "status": status(order),
            "price": price(order),
            "may_cancel": may_act and order.cancel_asked_at is None,
            "may_amend": may_act and _amendable(order),
            "fills": list(Fill.objects.filter(order=order).order_by("id")),
            "events": [(event, sentence(event)) for event in list(events)[::-1]],
        }
        return TemplateResponse(request, TEMPLATE, context)

    def cancel(self, request: HttpRequest, order_id: int) -> HttpResponse:
        """Ask why, then ask for the order to be taken back."""
        order = self._mine_to_act_on(request, order_id)
        note = "Until the venue has answered it may still fill; what is filled stays."
        if order.purpose == Purpose.PROTECT:
            note = "This stop protects a position while the site is away; the site puts it back unless that is left."
        question = pages.Question(
            f"Cancel {_named_as(order)}", note, "Cancel the order", _page(order_id), dangerous=True
        )

        def act(given: dict[str, Any]) -> pages.Done:
            why = given["reason"] or f"cancelled by {pages.actor(request)}"
            ordering.cancel(order_id, now=pages.now(), actor=pages.actor(request), why=why)
            return pages.Done("The order is being taken back.", _page(order_id))

        return pages.ask(self, request, CancelForm(request.POST or None), question, act)

    def amend(self, request: HttpRequest, order_id: int) -> HttpResponse:
        """Ask for price or quantity, then ask for the order to be changed."""
        order = self._mine_to_act_on(request, order_id)
        note = "Where the venue cannot change an order, it is taken back and a new one takes up what is left of it."
        question = pages.Question(f"Change {_named_as(order)}", note, "Change the order", _page(order_id))
        form = AmendForm(order, request.POST or None)

        def act(given: dict[str, Any]) -> pages.Done:
            if not form.changed_data:
                return pages.Done("Nothing was changed.", _page(order_id))
            ordering.amend(order_id, form.change(), now=pages.now(), actor=pages.actor(request))
            return pages.Done("The order is being changed.", _page(order_id))

        return pages.ask(self, request, form, question, act)

    def _order(self, request: HttpRequest, object_id: str) -> Order:
        if not self.has_view_permission(request):
            raise PermissionDenied
        related = ("account", "instrument", "position__instrument", "decision__instrument", "exit")
        rows = self.get_queryset(request).select_related(*related)
        order = rows.filter(pk=int(object_id)).first() if object_id.isascii() and object_id.isdigit() else None
        if order is None:
            raise Http404
        return order  # type: ignore[no-any-return]  # a model choice

    def _mine_to_act_on(self, request: HttpRequest, order_id: int) -> Order:
        order = self._order(request, str(order_id))
        if not self.has_act_permission(request):
            raise PermissionDenied
        return order


def sentence(event: Event) -> str:
    """Say in words what an event of an order tells."""
    told = {**event.payload, "wanted": _named(event.payload.get("wanted"))}
    says = _SAYS.get(event.kind)
    if says is not None:
        return says.format_map(_Known(told))
    word = event.kind.partition(".")[2].replace("_", " ")
    why, fills = told.get("why"), told.get("fills")
    booked = f", {len(fills) if isinstance(fills, list) else fills} fills booked" if fills else ""
    return f"{word.capitalize()}{booked}" + (f": {why}" if why else "")


class _Known(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def _named(values: Any) -> str:
    pairs: Iterable[tuple[str, Any]] = values.items() if isinstance(values, dict) else ()
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in pairs)


def _amendable(order: Order) -> bool:
    return order.purpose == Purpose.ENTRY and order.cancel_asked_at is None


def _way(order: Order) -> tuple[str, str]:
    return ("buy", "good") if order.buy else ("sell", "bad")


def _named_as(order: Order) -> str:
    return f"order {order.pk}: {_way(order)[0]} {numbers.plain(order.quantity)} {order.instrument} {order.kind}"


def _page(order_id: int) -> str:
    return reverse("admin:trading_order_change", args=[order_id])
