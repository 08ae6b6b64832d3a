"""How positions are left: what asked for it, when, and what came of it."""

from django.db import models
from django.db.models.functions import Now

from apps.domain import numbers
from apps.domain.legs import ExitReason
from apps.domain.states import LIVE_EXITS, ExitStatus
from apps.market.models import PriceField, positive_or_empty
from apps.trading.models.columns import choices, finite
from apps.trading.models.positions import ExitLeg, Position


class Drain(models.Model):
    """One batch of exits executed together, and the instant its transaction was committed."""

    worker = models.CharField(max_length=120)
    claimed_at = models.DateTimeField()
    committed_at = models.DateTimeField(null=True, help_text="Empty if the worker died right after its commit.")

    def __str__(self) -> str:
        return f"drain {self.pk}"


class Exit(models.Model):
    """The one way out: whatever wants to leave a position writes one of these, and one service executes them."""

    position = models.ForeignKey(Position, on_delete=models.PROTECT, related_name="exits")
    leg = models.ForeignKey(
        ExitLeg, on_delete=models.PROTECT, null=True, blank=True, db_index=False, related_name="exits"
    )
    reason = models.CharField(max_length=16, choices=choices(ExitReason))
    status = models.CharField(max_length=10, choices=choices(ExitStatus), default=ExitStatus.TRIGGERED)
    source = models.CharField(max_length=16, help_text="Who saw it: listener, sweeper, api, admin.")
    actor = models.CharField(max_length=150, default="", blank=True, help_text="The person or token that asked.")
    note = models.CharField(max_length=300, default="", blank=True, help_text="Why, or what went wrong.")
    trigger_price = PriceField(null=True, help_text="The price that crossed; empty: leave at the market.")
    peak = PriceField(null=True, help_text="The best price the trigger depended on.")
    trade_id = models.BigIntegerField(null=True, help_text="The venue's number of the trade that crossed.")
    venue_at = models.DateTimeField(null=True, help_text="When the venue traded the price that crossed.")
    tick_at = models.DateTimeField(help_text="When the price (or the request) arrived.")
    seen_at = models.DateTimeField(help_text="When the crossing was seen.")
    recorded_at = models.DateTimeField(db_default=Now(), help_text="When this row was written.")
    closed_at = models.DateTimeField(null=True, help_text="When the fill was booked.")
    drain = models.ForeignKey(Drain, on_delete=models.PROTECT, null=True, db_index=False, related_name="exits")
    quantity = PriceField(null=True)
    fill_price = PriceField(null=True)
    fee = PriceField(null=True)
    pnl = PriceField(null=True)
    late = models.BooleanField(default=False, help_text="Filled at a later quote, not at the price that triggered it.")
    epoch = models.BigIntegerField(default=0, help_text="The epoch of the listener that wrote it.")

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("leg",),
                name="exit_once_per_leg",
                condition=models.Q(status__in=(*LIVE_EXITS, ExitStatus.DONE)),
            ),
            models.UniqueConstraint(
                fields=("position",),
                name="exit_one_live_without_leg",
                condition=models.Q(leg__isnull=True, status__in=LIVE_EXITS),
            ),
            models.CheckConstraint(
                condition=~models.Q(status=ExitStatus.DONE)
                | models.Q(quantity__gt=0, fill_price__gt=0, fill_price__lt=numbers.LIMIT, closed_at__isnull=False),
                name="exit_done_means_filled",
            ),
            *(
                models.CheckConstraint(condition=positive_or_empty(f), name=f"exit_{f}_positive")
                for f in ("trigger_price", "peak", "quantity", "fill_price")
            ),
            finite("fee", "pnl"),
        )
        indexes = (
            models.Index(fields=("id",), name="exit_due", condition=models.Q(status=ExitStatus.TRIGGERED)),
            models.Index(fields=("id",), name="exit_claimed", condition=models.Q(status=ExitStatus.CLAIMED)),
            models.Index(fields=("closed_at",), name="exit_closed_at"),
        )

    def __str__(self) -> str:
        return f"{self.reason} of #{self.position_id}"
