"""Positions: looked at in full, opened, amended and left through pages that call one service each."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from apps.access.desk import cells, pages
from apps.domain import numbers
from apps.domain.legs import ExitReason
from apps.domain.sides import Side
from apps.domain.states import PositionStatus
from apps.trading import selectors
from apps.trading.admin import story
from apps.trading.admin.forms import AmendForm, CloseForm, OpenForm, legs_of
from apps.trading.admin.rows import AccountFilter, InstrumentFilter, OwnReadOnly
from apps.trading.models import Position
from apps.trading.services import exits, positions
from apps.trading.services.exits import AlreadyLeaving

LIST = "admin:trading_position_changelist"


@cells.computed("P&L")
def profit(row: Position) -> str:
    """Show the profit taken of a closed position, of an open one what leaving now would gain; before fees."""
    if row.status == PositionStatus.CLOSED:
        return cells.signed(row.realised_pnl)
    open_ = story.unrealised(row, getattr(row.instrument, "quote", None))
    return cells.NOTHING if open_ is None else cells.signed(open_ + row.realised_pnl)


@cells.computed("price")
def price(row: Position) -> str:
    """Show the price it was left at, or the latest price while it is open."""
    if row.status != PositionStatus.CLOSED:
        return cells.number("instrument.quote.price")(row)
    return cells.number("exit_price")(row)


@cells.computed("side", "side")
def side(row: Position) -> str:
    """Show the side with an arrow."""
    return cells.tag("▲ long" if row.side == Side.LONG else "▼ short", "plain")


@cells.computed("quantity", "quantity")
def held(row: Position) -> str:
    """Show what is held, and of how much where it is not all or nothing."""
    now, then = (numbers.plain(value) for value in (row.remaining, row.quantity))
    shown = f"{now} of {then}" if row.remaining and now != then else then
    return format_html('<span class="num">{}</span>', shown)


@cells.computed("status", "status")
def status(row: Position) -> str:
    """Show the status, and what a closed position was left by."""
    shown = cells.tag(row.status, cells.TONES.get(row.status, "plain"))
    if not row.exit_reason:
        return shown
    return format_html('<span class="word">{} {}</span>', shown, cells.tag(row.exit_reason, "plain"))


@admin.register(Position)
class PositionAdmin(OwnReadOnly):
    """Every lot, newest first."""

    list_display = (
        "id",
        cells.text("account"),
        cells.text("instrument"),
        side,
        held,
        cells.number("entry_price", "entry"),
        price,
        profit,
        status,
        cells.instant("opened_at", "opened"),
    )
    list_filter = ("status", "side", "exit_reason", AccountFilter, InstrumentFilter)
    search_fields = ("=id", "=instrument__symbol", "=request_key")
    search_help_text = "Number, symbol or request key"
    list_select_related = ("account", "instrument__quote")
    actions = ("close_at_market",)

    def get_urls(self) -> list[URLPattern]:
        """Add the pages that ask before they act."""
        own = [
            path("<int:position_id>/close/", self.admin_site.admin_view(self.close), name="trading_position_close"),
            path("<int:position_id>/amend/", self.admin_site.admin_view(self.amend), name="trading_position_amend"),
        ]
        return [*own, *super().get_urls()]

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Opening a position counts as adding one."""
        return request.user.has_perm("trading.add_position")

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Amending and leaving count as changing one."""
        return request.user.has_perm("trading.change_position")

    # --- pages ------------------------------------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Tell the story of a position."""
        position = self._position(request, object_id)
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        return self._story(request, position)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Open a position at the present price."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        # The key comes with the page, so that the same page sent twice opens one position.
        form = OpenForm(
            request.POST or None,
            initial={"request_key": f"admin-{uuid.uuid4()}", "account": selectors.default_account(request.user)},
        )
        form.fields["account"].queryset = selectors.for_user(request.user)  # type: ignore[attr-defined]  # a model choice
        note = "It is bought or sold on paper at the present price. Without a stop only you can end it."
        question = pages.Question("Open a position", note, "Open the position", reverse(LIST))

        def act(given: dict[str, Any]) -> pages.Done:
            opened = positions.open_position(_wish(given, pages.actor(request), pages.now()), now=pages.now())
            what = "is open" if opened.created else "was opened by this page before"
            return pages.Done(f"Position {opened.position} {what}.", _page(opened.position.pk))

        return pages.ask(self, request, form, question, act)

    def amend(self, request: HttpRequest, position_id: int) -> HttpResponse:
        """Replace the ways out whose fields were changed; refusals come back on the position's page."""
        position = self._position(request, str(position_id))
        self._may_act(request)
        if request.method != "POST":
            return HttpResponseRedirect(_page(position_id))
        live = list(position.legs.filter(status="live"))
        form = AmendForm(request.POST, live)

        def act(given: dict[str, Any]) -> pages.Done:
            now = pages.now()
            legs = legs_of(given, form.changed_data, position.entry_price, now)
            if not legs:
                return pages.Done("Nothing was changed.", _page(position_id))
            positions.amend_levels(position_id=position_id, legs=legs, now=now, actor=pages.actor(request))
            return pages.Done("The ways out were changed.", _page(position_id))

        done = pages.attempt(form, act) if form.is_valid() else None
        if done is None:
            return self._story(request, position, form)
        messages.success(request, done.message)
        return HttpResponseRedirect(done.url)

    def close(self, request: HttpRequest, position_id: int) -> HttpResponse:
        """Ask why, then ask for the position to be left at the market."""
        position = self._position(request, str(position_id))
        self._may_act(request)
        return self._ask_to_close(request, [position], _page(position_id))

    @admin.action(description="Close at the market", permissions=["act"])
    def close_at_market(self, request: HttpRequest, queryset: QuerySet[Position]) -> HttpResponse | None:
        """Ask why, then ask for the chosen positions to be left at the market."""
        chosen = list(queryset.exclude(status=PositionStatus.CLOSED).order_by("id"))
        if not chosen:
            messages.warning(request, "Each of these is closed already.")
            return None
        return self._ask_to_close(request, chosen, reverse(LIST), confirmed="confirm" in request.POST)

    # --- what they share --------------------------------------------------------------------------------------------

    def _ask_to_close(
        self, request: HttpRequest, chosen: Sequence[Position], back: str, *, confirmed: bool = True
    ) -> HttpResponse:
        form = CloseForm(request.POST if request.method == "POST" and confirmed else None)
        count = f"position {chosen[0]}" if len(chosen) == 1 else f"{len(chosen)} positions"
        note = "All that is held is sold or bought back at the market's next price, within milliseconds."
        question = pages.Question(f"Close {count} at the market", note, "Close at the market", back, dangerous=True)

        def act(given: dict[str, Any]) -> pages.Done:
            return pages.Done(self._leave(request, chosen, given["note"]), back)

        # The list's own form tells the action and the rows; they travel on with the confirmation.
        carried = {"selected": [row.pk for row in chosen], "checkbox": helpers.ACTION_CHECKBOX_NAME, "chosen": chosen}
        if request.method == "POST" and not confirmed:
            return pages.show(self, request, form, question, **carried)
        return pages.ask(self, request, form, question, act, **carried)

    def _leave(self, request: HttpRequest, chosen: Sequence[Position], note: str) -> str:
        """Request the exits and say what came of it; a position that is leaving already is an answer, not an error."""
        asked, already = 0, []
        for row in chosen:
            try:
                exits.request_exit(
                    position_id=row.pk,
                    reason=ExitReason.MANUAL,
                    source="admin",
                    now=pages.now(),
                    actor=pages.actor(request),
                    note=note,
                )
                asked += 1
            except AlreadyLeaving as error:
                already.append(f"#{row.pk} (exit {error.exit_id})")
        told = f"{asked} exit{'' if asked == 1 else 's'} requested."
        return f"{told} Leaving or closed before: {', '.join(already)}." if already else told

    def _story(self, request: HttpRequest, position: Position, form: forms.Form | None = None) -> HttpResponse:
        told = story.of(position, getattr(position.instrument, "quote", None))
        open_ = position.status != PositionStatus.CLOSED
        may_act = open_ and self.has_act_permission(request)
        context = {
            **self.admin_site.each_context(request),
            **told,
            "opts": self.model._meta,
            "original": position,
            "title": str(position),
            "form": (form or AmendForm(None, told["live"])) if may_act else None,
            "may_act": may_act,
            "amending": form is not None,
        }
        return TemplateResponse(request, "admin/trading/position/story.html", context)

    def _position(self, request: HttpRequest, object_id: str) -> Position:
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_queryset(request).select_related("account", "instrument__quote")
        position = rows.filter(pk=int(object_id)).first() if object_id.isascii() and object_id.isdigit() else None
        if position is None:
            raise Http404
        return position  # type: ignore[no-any-return]  # a model choice

    def _may_act(self, request: HttpRequest) -> None:
        if not self.has_act_permission(request):
            raise PermissionDenied


def _wish(given: dict[str, Any], actor: str, now: datetime) -> positions.Opening:
    names = ("stop_loss", "take_profit", "trailing_stop", "time_stop")
    legs = legs_of(given, names, Decimal(0), now)
    return positions.Opening(
        account_id=given["account"].pk,
        instrument_id=given["instrument"].pk,
        side=Side(given["side"]),
        quantity=given["quantity"],
        legs=tuple(leg for group in legs.values() for leg in group),
        actor=actor,
        request_key=given["request_key"],
        source="admin",
    )


def _page(position_id: int) -> str:
    return reverse("admin:trading_position_change", args=[position_id])
