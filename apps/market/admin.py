"""The admin's section Market: instruments are edited; quotes and the state of the feeds are only looked at."""

import os
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget

from apps.access.desk import cells, pages
from apps.access.desk.exchange import Exchanged
from apps.access.desk.past import REASON, AsksWhy
from apps.access.desk.rows import Page, ReadOnlyPage
from apps.domain import numbers
from apps.journal import pulses
from apps.journal import services as journal
from apps.market import cache, calendar_admin, charting, quality_admin, selectors  # noqa: F401 - two register their pages
from apps.market.cache.rows import INSTRUMENTS
from apps.market.feeds import FEEDS, configuring
from apps.market.models import FeedStatus, Instrument, Quote


class InstrumentForm(forms.ModelForm):  # type: ignore[type-arg] # not generic while it runs
    """An instrument's rules, checked against one another."""

    feed = forms.ChoiceField(widget=UnfoldAdminSelectWidget, help_text="The feed its prices come from.")
    fallback_feed = forms.ChoiceField(
        widget=UnfoldAdminSelectWidget,
        required=False,
        help_text="The feed they come from while the first is silent for more than ten seconds.",
    )

    class Meta:
        model = Instrument
        fields = "__all__"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = configuring.names(FEEDS.names(), os.environ)
        for name, none in (("feed", ()), ("fallback_feed", (("", "none"),))):
            if name in self.fields:
                kept = [own for own in [getattr(self.instance, name)] if own and own not in names]
                self.fields[name].choices = [*none, *((each, each) for each in [*names, *kept])]  # type: ignore[attr-defined]  # a choice field

    def clean_shard(self) -> int:
        """A shard without a listener would leave the instrument's stops unwatched."""
        shard: int = self.cleaned_data["shard"]
        if shard >= settings.LISTENER_SHARDS and not _listens(shard):
            most = settings.LISTENER_SHARDS - 1
            raise ValidationError(
                f"{shard} has no listener; use 0 to {most}, or start 'manage.py listener --shard {shard}'."
            )
        return shard

    def clean(self) -> dict[str, Any]:
        """Quantities must lie on the grid of lots, the least one below the most; no feed replaces itself."""
        given = super().clean() or {}
        lot, least, most = (given.get(name) for name in ("lot_size", "min_quantity", "max_quantity"))
        if lot and least and not numbers.on_grid(least, lot):
            self.add_error("min_quantity", f"must be a multiple of the lot size {numbers.plain(lot)}.")
        if least and most and most < least:
            self.add_error("max_quantity", f"must be at least the smallest quantity {numbers.plain(least)}.")
        if given.get("fallback_feed") and given["fallback_feed"] == given.get("feed"):
            self.add_error("fallback_feed", "must be another feed than the first.")
        if given.get("fallback_symbol") and not given.get("fallback_feed"):
            self.add_error("fallback_symbol", "names a product of a second feed: choose one, or leave this empty.")
        return given


def _listens(shard: int) -> bool:
    name = f"listener:{shard}"
    return any(pulse.name == name for pulse in pulses.alive(name, now=pages.now(), within=timedelta(seconds=10)))


@cells.computed("price")
def price(row: Instrument) -> str:
    """Show the latest price of an instrument."""
    return cells.number("quote.price")(row)


@cells.computed("prices")
def freshness(row: Instrument) -> str:
    """Say whether an instrument's price is fresh enough to enter at."""
    quote = getattr(row, "quote", None)
    if not row.enabled:
        return cells.tag("off", "idle")
    return _fresh(quote, pages.now()) if quote else cells.tag("none yet", "warn")


@cells.computed("feed")
def source(row: Instrument) -> str:
    """Name the feed that prices come from now, and which one it stands in for."""
    quote = getattr(row, "quote", None)
    if quote is None or quote.feed in ("", row.feed):
        return row.feed
    return cells.tag(f"{quote.feed} for {row.feed}", "warn")


@cells.computed("chart")
def chart(row: Instrument) -> str:
    """Link to the candles of an instrument."""
    return format_html('<a class="ref" href="{}">chart</a>', reverse("admin:market_instrument_chart", args=[row.pk]))


@cells.computed("state")
def quote_state(row: Quote) -> str:
    """Say whether a quote is fresh."""
    return _fresh(row, pages.now())


def _fresh(quote: Quote, now: datetime) -> str:
    return cells.tag("fresh", "good") if selectors.is_fresh(quote, now) else cells.tag("stale", "warn")


@admin.register(Instrument)
class InstrumentAdmin(Exchanged, AsksWhy, Page):
    """What can be traded, and on which grid."""

    form = InstrumentForm
    list_display = (
        "symbol",
        price,
        freshness,
        chart,
        cells.number("tick_size"),
        cells.number("lot_size"),
        cells.rate("jump_band"),
        "calendar",
        source,
        "shard",
        "enabled",
    )
    list_filter = ("enabled", "feed", "shard", "quote_currency")
    search_fields = ("symbol", "base_currency")
    list_select_related = ("quote",)
    actions_detail = ("chart",)
    sheet = (
        *("symbol", "base_currency", "quote_currency", "enabled", "tick_size", "lot_size", "min_quantity"),
        *("max_quantity", "feed", "fallback_feed", "fallback_symbol", "shard", "calendar", "jump_band"),
    )
    sheet_key = ("symbol",)
    fieldsets = (
        (None, {"fields": ("symbol", "base_currency", "quote_currency", "enabled")}),
        ("Grid", {"fields": ("tick_size", "lot_size", "min_quantity", "max_quantity")}),
        ("Prices", {"fields": ("feed", "fallback_feed", "fallback_symbol", "shard", "calendar", "jump_band")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Instrument | None = None) -> tuple[str, ...]:
        """The symbol is what the feed and the records call it; it stays."""
        return ("symbol", "base_currency", "quote_currency") if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: Instrument | None = None) -> Any:
        """Ask why it is changed."""
        return [*super().get_fieldsets(request, obj), *self.why(request, obj)]

    def has_delete_permission(self, request: HttpRequest, obj: Instrument | None = None) -> bool:
        """Instruments are switched off, not deleted: positions and candles name them."""
        return False

    def save_model(self, request: HttpRequest, obj: Instrument, form: Any, change: bool) -> None:
        """Save and write down who changed what."""
        super().save_model(request, obj, form, change)
        changes = {name: str(form.cleaned_data[name]) for name in form.changed_data if name != REASON}
        kind = "instrument.changed" if change else "instrument.added"
        payload = {"instrument": obj.symbol, "changes": changes}
        journal.record(kind, f"instrument:{obj.pk}", actor=pages.actor(request), payload=payload)
        cache.forget_after_commit(tags=(INSTRUMENTS,))

    @action(description="Chart", url_path="chart", permissions=["view"])  # type: ignore[untyped-decorator] # Unfold has no types
    def chart(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the candles of an instrument as they come."""
        instrument = self.get_object(request, object_id)
        if instrument is None:
            raise Http404
        told = charting.page(instrument, request.GET.get("timeframe", ""), pages.now())
        context = {
            **self.admin_site.each_context(request),
            **told,
            "freshness": freshness(instrument),
            "opts": self.model._meta,
            "original": instrument,
            "title": f"{instrument}, {told['timeframe']}",
        }
        return TemplateResponse(request, charting.TEMPLATE, context)


@admin.register(Quote)
class QuoteAdmin(ReadOnlyPage):
    """The latest price of each instrument."""

    list_display = (
        cells.linked("instrument"),
        cells.number("price"),
        cells.number("bid"),
        cells.number("ask"),
        "feed",
        quote_state,
        cells.instant("at"),
        cells.instant("heard_at", "last heard"),
    )
    shown = (
        *list_display,
        cells.number("low"),
        cells.number("high"),
        "trade_id",
        cells.instant("received_at"),
        "epoch",
    )
    search_fields = ("instrument__symbol",)
    list_select_related = ("instrument",)
    ordering = ("instrument__symbol",)


@admin.register(FeedStatus)
class FeedStatusAdmin(ReadOnlyPage):
    """How each listener's feed is doing."""

    list_display = ("name", cells.word("state"), "reason", cells.instant("since"), "session")
    shown = (*list_display, cells.facts("counters"))
    list_filter = ("state",)
