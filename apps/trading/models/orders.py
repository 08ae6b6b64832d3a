"""Orders: what was asked of a broker, stored before it is asked, and what the broker said."""

from decimal import Decimal

from django.db import models
from django.db.models.functions import Now

from apps.domain import numbers
from apps.domain.orders import OrderKind, Purpose, TimeInForce
from apps.domain.states import ENDED_ORDERS, OrderStatus
from apps.market.models import Instrument, PriceField, positive, positive_or_empty
from apps.trading.models.accounts import Account
from apps.trading.models.columns import choices, finite
from apps.trading.models.exits import Exit
from apps.trading.models.positions import Position
from apps.trading.models.risk import Decision


class Order(models.Model):
    """One order at a broker. Its client id is a pure function of what it is for and which attempt it is."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, db_index=False, related_name="orders")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, db_index=False, related_name="+")
    position = models.ForeignKey(Position, on_delete=models.PROTECT, null=True, blank=True, related_name="orders")
    exit = models.ForeignKey(Exit, on_delete=models.PROTECT, null=True, blank=True, related_name="orders")
    decision = models.ForeignKey(Decision, on_delete=models.PROTECT, null=True, blank=True, related_name="orders")
    purpose = models.CharField(max_length=8, choices=choices(Purpose))
    client_id = models.CharField(max_length=64, unique=True, help_text="Stored before it is sent, sent with it.")
    venue_id = models.CharField(max_length=80, default="", blank=True, help_text="The venue's own number.")
    attempt = models.PositiveSmallIntegerField(default=1)
    buy = models.BooleanField()
    kind = models.CharField(max_length=10, choices=choices(OrderKind))
    tif = models.CharField(max_length=3, choices=choices(TimeInForce), default=TimeInForce.GTC)
    quantity = PriceField(help_text="Base units.")
    limit_price = PriceField(null=True, blank=True)
    stop_price = PriceField(null=True, blank=True)
    reduce_only = models.BooleanField(default=False)
    legs = models.JSONField(default=list, blank=True, help_text="The ways out its lot gets with the first fill.")
    status = models.CharField(max_length=16, choices=choices(OrderStatus), default=OrderStatus.NEW)
    filled = PriceField(default=Decimal(0), help_text="Base units, the sum of its fills.")
    notional = PriceField(default=Decimal(0), help_text="Sum of price times quantity of its fills.")
    claimed = PriceField(
        default=Decimal(0), help_text="What the venue says is filled; above `filled`, executions are still to be asked."
    )
    why = models.CharField(max_length=300, default="", blank=True, help_text="What the venue or we said last.")
    actor = models.CharField(max_length=150, default="", blank=True)
    request_key = models.CharField(max_length=64, null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True, help_text="When a worker last began to send it.")
    accepted_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    cancel_asked_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True, blank=True, help_text="Taken back then unless it is filled.")
    expires_at = models.DateTimeField(null=True, blank=True, help_text="For good till date.")
    look_at = models.DateTimeField(null=True, help_text="When the venue is asked about it next.")
    amendment = models.JSONField(null=True, blank=True, help_text="What it shall become: not carried out yet.")
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(condition=positive("quantity"), name="order_quantity_positive"),
            models.CheckConstraint(
                condition=models.Q(filled__gte=0, filled__lt=numbers.LIMIT), name="order_filled_not_negative"
            ),
            models.CheckConstraint(
                condition=models.Q(claimed__gte=models.F("filled"), claimed__lt=numbers.LIMIT),
                name="order_claims_what_is_filled",
            ),
            *(
                models.CheckConstraint(condition=positive_or_empty(f), name=f"order_{f}_positive")
                for f in ("limit_price", "stop_price")
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=ENDED_ORDERS, ended_at__isnull=False)
                | (~models.Q(status__in=ENDED_ORDERS) & models.Q(ended_at__isnull=True)),
                name="order_ended_means_ended",
            ),
            models.UniqueConstraint(fields=("account", "request_key"), name="order_once_per_request"),
            models.UniqueConstraint(
                fields=("exit",), name="order_one_live_per_exit", condition=~models.Q(status__in=ENDED_ORDERS)
            ),
            finite("notional"),
        )
        indexes = (
            models.Index(fields=("account", "-id"), name="order_account"),
            models.Index(fields=("id",), name="order_live", condition=~models.Q(status__in=ENDED_ORDERS)),
            models.Index(
                fields=("look_at",),
                name="order_unexplained",
                condition=models.Q(status__in=ENDED_ORDERS, look_at__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"{'buy' if self.buy else 'sell'} {self.quantity} {self.instrument} {self.kind}"

    @property
    def average_price(self) -> Decimal | None:
        """The average price of its fills; None while nothing was filled."""
        return numbers.average(self.notional, self.filled) if self.filled else None


class PaperOrder(models.Model):
    """The book of the built-in paper venue: what a real venue would keep on its side. Only its broker touches it."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    client_id = models.CharField(max_length=64, unique=True)
    symbol = models.CharField(max_length=40)
    buy = models.BooleanField()
    kind = models.CharField(max_length=10, choices=choices(OrderKind))
    tif = models.CharField(max_length=3, choices=choices(TimeInForce))
    quantity = PriceField()
    limit_price = PriceField(null=True)
    stop_price = PriceField(null=True)
    status = models.CharField(max_length=16, choices=choices(OrderStatus))
    filled = PriceField(default=Decimal(0))
    notional = PriceField(default=Decimal(0), help_text="Sum of price times quantity of its fills.")
    fees = PriceField(default=Decimal(0), help_text="In the quote currency; negative is a rebate.")
    executions = models.JSONField(default=list, help_text="Its fills, decimals as text.")
    placed_at = models.DateTimeField(help_text="When it reached the venue.")
    acts_at = models.DateTimeField(help_text="Its latency: nothing happens to it before.")
    triggered_at = models.DateTimeField(null=True, help_text="When a stop became active.")
    rests_at = models.DateTimeField(null=True, help_text="Since when it waits in the book.")
    filled_at = models.DateTimeField(null=True, help_text="When a fill was last written down.")
    through_at = models.DateTimeField(null=True, help_text="The last print that filled it: its time.")
    through_id = models.BigIntegerField(default=0, help_text="The last print that filled it: the venue's number.")
    expires_at = models.DateTimeField(null=True)
    looked_at = models.DateTimeField(help_text="All prints up to here were compared with it.")
    why = models.CharField(max_length=300, default="")
    version = models.PositiveIntegerField(default=1, help_text="Goes up with every change: of two writers one wins.")

    class Meta:
        ordering = ("id",)
        constraints = (
            models.CheckConstraint(condition=positive("quantity"), name="paperorder_quantity_positive"),
            models.CheckConstraint(
                condition=models.Q(filled__gte=0, filled__lte=models.F("quantity")), name="paperorder_not_overfilled"
            ),
            *(
                models.CheckConstraint(condition=positive_or_empty(f), name=f"paperorder_{f}_positive")
                for f in ("limit_price", "stop_price")
            ),
            finite("notional", "fees"),
        )
        indexes = (
            models.Index(fields=("id",), name="paperorder_live", condition=~models.Q(status__in=ENDED_ORDERS)),
            models.Index(fields=("account", "filled_at"), name="paperorder_filled"),
        )

    def __str__(self) -> str:
        return f"paper {self.client_id}"
