"""The log of deliveries: what went where, every try with its error; what was given up can be sent again."""

from typing import Any, Final

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.decorators import action

from apps.access.desk import cells, pages
from apps.access.desk.rows import ReadOnlyPage
from apps.reporting import selectors
from apps.reporting.models import Delivery
from apps.reporting.services import resending

_TONES: Final = {"sent": "good", "sending": "busy", "waiting": "busy", "held": "idle", "dead": "bad"}


@cells.computed("tries")
def tries(row: Delivery) -> str:
    """Show every try: when, how it ended, what was said."""
    lines = format_html_join(
        "",
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        [
            (each.number, f"{each.began_at:%Y-%m-%d %H:%M:%S}", each.outcome, each.said)
            for each in row.attempts.order_by("-number")[:100]
        ],
    )
    return format_html('<div class="desk"><table class="grid">{}</table></div>', lines) if lines else cells.NOTHING


@cells.computed("text")
def words(row: Delivery) -> str:
    """Show the message as it is sent."""
    return format_html('<pre class="facts">{}</pre>', row.body or cells.NOTHING)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyPage):
    """Each person sees what was delivered to them, a superuser all."""

    list_display = (
        "id",
        cells.instant("happened_at", "happened"),
        "kind",
        cells.text("title"),
        cells.linked("channel"),
        cells.word("status", tones=_TONES),
        "tries",
        cells.text("last_error"),
    )
    shown = (
        *list_display,
        words,
        cells.linked("route"),
        cells.instant("due_at", "due"),
        cells.instant("sent_at", "sent"),
        cells.text("doubtful", "tries that may have arrived"),
        cells.text("repeats", "not repeated"),
        cells.text("reference"),
        cells.linked("merged_into"),
        tries,
    )
    list_filter = ("status", "channel", "severity")
    search_fields = ("kind", "subject", "title")
    list_select_related = ("channel", "route")
    actions_detail = ("send_again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        """Show a person what their routes delivered."""
        return selectors.own(super().get_queryset(request), request.user, route__person_id=request.user.pk)

    @action(description="Send again", icon="replay", url_path="again")  # type: ignore[untyped-decorator]  # Unfold has no types
    def send_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send a message that was given up, or once more."""
        row: Delivery | None = self.get_object(request, object_id)
        if row is None:
            raise Http404
        if not request.user.has_perm("reporting.change_delivery"):
            raise PermissionDenied
        back = reverse("admin:reporting_delivery_change", args=[row.pk])
        question = pages.Question("Send again", f"{row.title} goes to {row.channel} once more.", "Send it", back)

        def act(_: dict[str, Any]) -> pages.Done:
            resending.resend(row.pk, now=pages.now(), actor=pages.actor(request))
            return pages.Done("It is sent within seconds.", back)

        form = forms.Form(request.POST if request.method == "POST" else None)
        return pages.ask(self, request, form, question, act)
