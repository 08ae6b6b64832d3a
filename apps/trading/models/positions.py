"""What is held, its ways out, and what the listener must know of both."""

from decimal import Decimal

from django.db import models
from django.db.models.functions import Now

from apps.domain import numbers
from apps.domain.legs import ExitReason, LegKind
from apps.domain.sides import Side
from apps.domain.states import LegStatus, PositionStatus
from apps.market.models import Instrument, PriceField, positive, positive_or_empty
from apps.strategies.models import Signal
from apps.trading.models.accounts import Account
from apps.trading.models.columns import choices, finite


class Position(models.Model):
    """One lot: opened once, left by its exit legs or by somebody's hand. Several may be open at a time."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, db_index=False, related_name="positions")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, db_index=False, related_name="positions")
    side = models.CharField(max_length=5, choices=choices(Side))
    quantity = PriceField(help_text="What was opened, in base units.")
    remaining = PriceField(help_text="What is still held.")
    cost = PriceField(help_text="What is still held, at entry price, in quote currency.")
    entry_price = PriceField()
    status = models.CharField(max_length=8, choices=choices(PositionStatus), default=PositionStatus.OPEN)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    exit_notional = PriceField(default=Decimal(0), help_text="Sum of price times quantity of its exit fills.")
    fees = PriceField(default=Decimal(0))
    realised_pnl = PriceField(default=Decimal(0), help_text="Profit taken, before fees.")
    exit_reason = models.CharField(max_length=16, default="", blank=True, choices=choices(ExitReason))
    last_exit_id = models.BigIntegerField(null=True, help_text="The exit that closed it.")
    signal = models.ForeignKey(Signal, on_delete=models.SET_NULL, null=True, blank=True, related_name="positions")
    request_key = models.CharField(max_length=64, null=True, help_text="The caller's key; a repeat opens nothing.")
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(condition=positive("quantity"), name="position_quantity_positive"),
            models.CheckConstraint(condition=positive("entry_price"), name="position_entry_price_positive"),
            models.CheckConstraint(
                condition=models.Q(remaining__gte=0, remaining__lte=models.F("quantity")),
                name="position_remaining_within_quantity",
            ),
            models.CheckConstraint(
                condition=models.Q(status=PositionStatus.CLOSED, remaining=0, closed_at__isnull=False)
                | (~models.Q(status=PositionStatus.CLOSED) & models.Q(remaining__gt=0, closed_at__isnull=True)),
                name="position_closed_means_empty",
            ),
            models.UniqueConstraint(fields=("account", "request_key"), name="position_once_per_request"),
            models.UniqueConstraint(fields=("account", "signal"), name="position_once_per_signal"),
            finite("exit_notional", "fees", "realised_pnl", "cost"),
        )
        indexes = (
            models.Index(fields=("account", "status", "-id"), name="position_account_status"),
            models.Index(
                fields=("instrument",), name="position_open", condition=~models.Q(status=PositionStatus.CLOSED)
            ),
            models.Index(fields=("closed_at",), name="position_closed_at"),
            models.Index(
                fields=("account", "-closed_at", "-id"),
                name="position_last_closed",
                condition=models.Q(status=PositionStatus.CLOSED),
            ),
        )

    def __str__(self) -> str:
        return f"#{self.pk} {self.side} {self.instrument}"

    @property
    def exit_price(self) -> Decimal | None:
        """The average price of its exit fills; None while nothing was left."""
        left = self.quantity - self.remaining
        return numbers.average(self.exit_notional, left) if left else None


class ExitLeg(models.Model):
    """One way out of a position. Its levels never change: an amendment cancels it and makes a new one."""

    position = models.ForeignKey(Position, on_delete=models.PROTECT, related_name="legs")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, db_index=False, related_name="+")
    kind = models.CharField(max_length=16, choices=choices(LegKind))
    rises = models.BooleanField(help_text="It triggers at or above its level, not at or below.")
    status = models.CharField(max_length=10, choices=choices(LegStatus), default=LegStatus.LIVE)
    fraction = models.DecimalField(max_digits=9, decimal_places=8, default=Decimal(1))
    level = PriceField(null=True)
    activation = PriceField(null=True)
    trail = PriceField(null=True)
    trail_is_rate = models.BooleanField(default=False)
    due_at = models.DateTimeField(null=True)
    since = models.DateTimeField(help_text="Prices that arrived before this do not count.")

    class Meta:
        ordering = ("id",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(fraction__gt=0, fraction__lte=1), name="exitleg_fraction_is_a_part"
            ),
            *(
                models.CheckConstraint(condition=positive_or_empty(f), name=f"exitleg_{f}_positive")
                for f in ("level", "activation", "trail")
            ),
        )
        indexes = (
            models.Index(
                fields=("instrument", "rises", "level"),
                name="exitleg_live_level",
                condition=models.Q(status=LegStatus.LIVE),
            ),
            models.Index(
                fields=("due_at",),
                name="exitleg_due",
                condition=models.Q(status=LegStatus.LIVE, kind=LegKind.TIME_STOP),
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} of #{self.position_id}"


class Watermark(models.Model):
    """The best price a trailing or break-even leg has seen; written only by the leading listener, in batches.

    Legs that ride the same best price share one row: a leg that rides another has that leg's watermark.
    """

    leg = models.OneToOneField(ExitLeg, on_delete=models.CASCADE, primary_key=True)
    peak = PriceField(null=True, help_text="Empty while the leg sleeps.")
    moved_at = models.DateTimeField(null=True, help_text="When it was last written: it contains the prices before.")
    rides = models.BigIntegerField(null=True, help_text="The leg whose watermark is this one's.")

    class Meta:
        constraints = (models.CheckConstraint(condition=positive_or_empty("peak"), name="watermark_peak_positive"),)

    def __str__(self) -> str:
        return f"leg {self.leg_id} peak {self.peak}"


class LevelChange(models.Model):
    """Says that the legs of a position changed, for the listeners; written in the same transaction, pruned later."""

    position_id = models.BigIntegerField()
    shard = models.PositiveSmallIntegerField(default=0)
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"position {self.position_id} changed"
