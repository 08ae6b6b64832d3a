"""The discrepancy inbox: what differs between a venue and us, and the pages that ask what to do about it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from unfold.widgets import UnfoldBooleanWidget

from apps.access.desk import cells, pages
from apps.access.desk.fields import LineField, NumberField
from apps.trading.admin.rows import AccountFilter, OwnReadOnly
from apps.trading.models import Discrepancy, DiscrepancyKind
from apps.trading.services import resolving
from apps.trading.services.resolving import Choice

LIST = "admin:trading_discrepancy_changelist"
TONES = {"open": "bad", "adopted": "good", "written_off": "warn", "ignored": "idle", "gone": "idle"}


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that may be done: the word on its button, and what it writes for each kind of difference."""

    word: str
    writes: dict[str, str]
    dangerous: bool = False


_ADOPT: Final = {
    DiscrepancyKind.UNKNOWN_ORDER: "An order row, so that it is ours. What it fills becomes a lot with this stop.",
    DiscrepancyKind.LOST_ORDER: "The order ends here as cancelled, with what is filled of it. This cannot be undone.",
    DiscrepancyKind.UNKNOWN_FILL: "A fill and a ledger line at the venue's price and fee. It leaves lots that face the "
    "other way, oldest first; what is left of it becomes a lot with this stop.",
    DiscrepancyKind.POSITION: "A fill and a ledger line for the difference at your price. Lots that face the other way "
    "are left, oldest first; the rest becomes a lot with this stop.",
    DiscrepancyKind.BALANCE: "One ledger line: the cash becomes what the venue says, as money paid in or out.",
}
DEEDS: Final = {
    "adopt": Deed("Adopt", {str(kind): text for kind, text in _ADOPT.items()}),
    "write_off": Deed(
        "Write off",
        {
            "position": "The lots shrink to what the venue holds, oldest first, each at its entry price; one more "
            "ledger line takes that money out again as a loss.",
            "balance": "One ledger line: the cash becomes what the venue says, as a loss or a gain.",
        },
        dangerous=True,
    ),
    "cancel": Deed(
        "Cancel at the venue",
        {"unknown_order": "The venue is asked to take it back. Our books stay as they are. This cannot be undone."},
        dangerous=True,
    ),
    "ignore": Deed("Ignore", {str(kind): "Nothing but this row, until the difference changes." for kind in _ADOPT}),
    "undo": Deed(
        "Undo",
        {
            str(kind): "The opposite of every ledger line that was written; lots that were left come back as lots of "
            "their own with the same levels, and the row is open again."
            for kind in _ADOPT
        },
        dangerous=True,
    ),
}


class ReasonForm(forms.Form):
    """Why it is done."""

    reason = LineField(max_length=300, help_text="One line for the journal.")


class StopForm(ReasonForm):
    """Where the lot that comes of it is left."""

    stop = NumberField(
        positive=True, required=False, label="Stop", help_text="A price. Not needed where all of it leaves lots."
    )
    field_order: tuple[str, ...] = ("stop", "reason")


class PositionForm(StopForm):
    """At what price a difference in what is held is booked."""

    price = NumberField(positive=True, required=False, label="Price", help_text="Empty: the market's latest.")
    paid = forms.BooleanField(
        required=False,
        initial=True,
        widget=UnfoldBooleanWidget,
        label="It was paid for at the venue",
        help_text="Switch it off when coins came or went without money: then the cash stays as it is.",
    )
    field_order: tuple[str, ...] = ("price", "stop", "paid", "reason")


def form_for(row: Discrepancy, deed: str) -> type[forms.Form]:
    """Return the form that asks for what a deed needs."""
    if deed != "adopt":
        return ReasonForm
    needs = {
        DiscrepancyKind.POSITION: PositionForm,
        DiscrepancyKind.UNKNOWN_FILL: StopForm,
        DiscrepancyKind.UNKNOWN_ORDER: StopForm,
    }
    return needs.get(DiscrepancyKind(row.kind), ReasonForm)


@cells.computed("what can be done")
def deeds(row: Discrepancy) -> str:
    """Link to the pages that resolve a difference; each carries what the person saw."""
    links = (
        (reverse(f"admin:trading_discrepancy_{name}", args=[row.pk]), urlencode({"gap": row.gap}), DEEDS[name].word)
        for name in resolving.actions(row)
    )
    return format_html_join(" · ", '<a class="ref" href="{}?{}">{} …</a>', links) or format_html("{}", cells.NOTHING)


@admin.register(Discrepancy)
class DiscrepancyAdmin(OwnReadOnly):
    """Differences, newest first; the open ones keep their accounts from opening positions."""

    list_display = (
        "id",
        cells.linked("account"),
        cells.word("kind", tones={}),
        cells.text("subject"),
        cells.text("ours"),
        cells.text("theirs"),
        cells.word("resolution", tones=TONES),
        cells.instant("found_at", "found"),
        deeds,
    )
    shown = (
        *list_display[1:],
        cells.instant("seen_at", "changed"),
        cells.instant("resolved_at", "resolved"),
        "actor",
        "reason",
        cells.facts("facts"),
        cells.facts("undo", "written"),
    )
    list_filter = ("resolution", "kind", AccountFilter)
    search_fields = ("=id", "subject", "=actor")
    search_help_text = "Number, or the order, fill, instrument or currency"
    list_select_related = ("account",)

    def get_urls(self) -> list[URLPattern]:
        """Add a page for each deed."""
        pages_of_deeds = [
            path(f"<int:pk>/{name}/", self.admin_site.admin_view(self._view(name)), name=f"trading_discrepancy_{name}")
            for name in DEEDS
        ]
        return [*pages_of_deeds, *super().get_urls()]

    def _view(self, name: str) -> Callable[..., HttpResponse]:
        def view(request: HttpRequest, pk: int) -> HttpResponse:
            return self.deed_view(request, pk, name)

        return view

    def deed_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """Say what will be written, ask why, and do it."""
        if not request.user.has_perm("trading.resolve"):
            raise PermissionDenied
        row = self.get_queryset(request).select_related("account").filter(pk=pk).first()
        if row is None or row.kind not in DEEDS[name].writes:
            raise Http404
        deed = DEEDS[name]
        note = f"{row.account}: {row.ours} here, {row.theirs} at the venue. What is written: {deed.writes[row.kind]}"
        back = reverse("admin:trading_discrepancy_change", args=[pk])
        question = pages.Question(f"{deed.word}: {row}", note, deed.word, back, dangerous=deed.dangerous)
        form = form_for(row, name)(request.POST or None)

        def act(given: dict[str, Any]) -> pages.Done:
            done = _do(name, pk, self._choice(request, given))
            return pages.Done(f"#{pk} is {done.resolution.replace('_', ' ')}.", reverse(LIST))

        return pages.ask(self, request, form, question, act)

    def _choice(self, request: HttpRequest, given: dict[str, Any]) -> Choice:
        return Choice(
            actor=pages.actor(request),
            reason=given["reason"],
            gap=request.GET.get("gap", ""),
            price=given.get("price"),
            stop=given.get("stop"),
            paid=given.get("paid", True),
        )


def _do(name: str, pk: int, choice: Choice) -> Discrepancy:
    if name == "undo":
        return resolving.undo(pk, actor=choice.actor, reason=choice.reason, now=pages.now())
    if name == "cancel":
        return resolving.cancel(pk, choice, clock=pages.now)
    acts = {"adopt": resolving.adopt, "write_off": resolving.write_off, "ignore": resolving.ignore}
    return acts[name](pk, choice, now=pages.now())
