"""Accounts and their books, positions and the ways out of them. Money rows change only through the services."""

from decimal import Decimal
from enum import StrEnum

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from apps.domain import numbers
from apps.domain.legs import ExitReason, LegKind
from apps.domain.sides import Side
from apps.domain.states import LIVE_EXITS, ExitStatus, LegStatus, PositionStatus
from apps.market.models import Instrument, PriceField, positive, positive_or_empty
from apps.strategies.models import Signal, Strategy


def choices(words: type[StrEnum]) -> list[tuple[str, str]]:
    """Return an enum of the domain as Django choices."""
    return [(str(word), str(word).replace("_", " ")) for word in words]


def finite(*fields: str) -> models.CheckConstraint:
    """Return a check that columns hold neither NaN nor an infinity."""
    limit = numbers.LIMIT
    condition = models.Q(*[models.Q(**{f"{f}__lt": limit, f"{f}__gt": -limit}) for f in fields])
    return models.CheckConstraint(condition=condition, name=f"%(class)s_{fields[0]}_finite")


class Account(models.Model):
    """Money and positions of one owner; paper until a later version says otherwise."""

    name = models.CharField(max_length=80)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="accounts")
    broker = models.CharField(max_length=32, default="paper", help_text="The broker plug-in that executes its orders.")
    currency = models.CharField(max_length=12, default="USD")
    fee_rate = models.DecimalField(max_digits=10, decimal_places=8, help_text="Of the notional: 0.001 is 0.1 %.")
    fee_fixed = PriceField(default=Decimal(0), help_text="On every fill, in the account's currency.")
    slippage_rate = models.DecimalField(max_digits=10, decimal_places=8, help_text="Of the price: 0.0001 is 0.01 %.")
    slippage_fixed = PriceField(default=Decimal(0), help_text="Price units, on top of the rate.")
    opened_at = models.DateTimeField()

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("owner", "name"), name="account_name_per_owner"),
            models.CheckConstraint(
                condition=models.Q(fee_rate__gte=0, fee_rate__lt=1, slippage_rate__gte=0, slippage_rate__lt=1),
                name="account_rates_are_rates",
            ),
            *(
                models.CheckConstraint(
                    condition=models.Q(**{f"{f}__gte": 0, f"{f}__lt": numbers.LIMIT}), name=f"account_{f}_not_negative"
                )
                for f in ("fee_fixed", "slippage_fixed")
            ),
        )

    def __str__(self) -> str:
        return self.name


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
            models.Index(fields=("closed_at",), name="exit_closed_at"),
        )

    def __str__(self) -> str:
        return f"{self.reason} of #{self.position_id}"


class Fill(models.Model):
    """One execution: what was bought or sold, at what price and fee. Never updated, never deleted."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, db_index=False, related_name="fills")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, db_index=False)
    position = models.ForeignKey(Position, on_delete=models.PROTECT, related_name="fills")
    exit = models.OneToOneField(Exit, on_delete=models.PROTECT, null=True, related_name="fill")
    client_id = models.CharField(max_length=40, unique=True, help_text="A pure function of position and purpose.")
    buy = models.BooleanField()
    quantity = PriceField()
    price = PriceField()
    fee = PriceField()
    at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(condition=positive("quantity"), name="fill_quantity_positive"),
            models.CheckConstraint(condition=positive("price"), name="fill_price_positive"),
            finite("fee"),
        )
        indexes = (models.Index(fields=("account", "-id"), name="fill_account"),)

    def __str__(self) -> str:
        return f"{'buy' if self.buy else 'sell'} {self.quantity} at {self.price}"


class LedgerEntry(models.Model):
    """One line of the books: a column per book, the columns sum to zero. Never updated, never deleted.

    A deposit moves capital to cash; an opening fill cash to holdings; a closing fill holdings to cash, and the
    difference to pnl; fees leave cash. One line per fill and currency (docs/decisions/0002).
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, db_index=False, related_name="ledger")
    currency = models.CharField(max_length=12)
    fill = models.OneToOneField(Fill, on_delete=models.PROTECT, null=True, related_name="ledger_entry")
    kind = models.CharField(max_length=16, help_text="deposit, open, close")
    cash = PriceField(default=Decimal(0))
    holdings = PriceField(default=Decimal(0))
    fees = PriceField(default=Decimal(0))
    pnl = PriceField(default=Decimal(0))
    capital = PriceField(default=Decimal(0))
    at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "ledger"
        constraints = (
            models.CheckConstraint(
                condition=models.Q(
                    cash=-models.F("holdings") - models.F("fees") - models.F("pnl") - models.F("capital")
                ),
                name="ledgerentry_sums_to_zero",
            ),
            finite("cash", "holdings", "fees", "pnl", "capital"),
        )
        indexes = (models.Index(fields=("account", "-id"), name="ledger_account"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.cash} {self.currency}"


class Balance(models.Model):
    """The sum of an account's ledger up to one line, so that reading a balance need not add up its whole history.

    Derived: deleting it loses nothing. The lines after `through` are added when a balance is read.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="balances")
    currency = models.CharField(max_length=12)
    through = models.BigIntegerField(default=0, help_text="The last ledger line it contains.")
    cash = PriceField(default=Decimal(0))
    holdings = PriceField(default=Decimal(0))
    fees = PriceField(default=Decimal(0))
    pnl = PriceField(default=Decimal(0))
    capital = PriceField(default=Decimal(0))

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("account", "currency"), name="balance_once"),
            finite("cash", "holdings", "fees", "pnl", "capital"),
        )

    def __str__(self) -> str:
        return f"{self.account_id} {self.cash} {self.currency}"


class LevelChange(models.Model):
    """Says that the legs of a position changed, for the listeners; written in the same transaction, pruned later."""

    position_id = models.BigIntegerField()
    shard = models.PositiveSmallIntegerField(default=0)
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"position {self.position_id} changed"


class Allocation(models.Model):
    """How an account follows a strategy: how much per signal, how many lots at a time, and the way out."""

    strategy = models.ForeignKey(Strategy, on_delete=models.CASCADE, related_name="allocations")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="allocations")
    notional = PriceField(help_text="Quote currency per lot.")
    max_lots = models.PositiveSmallIntegerField(default=1, help_text="Open lots per instrument at most.")
    stop_loss = models.DecimalField(max_digits=8, decimal_places=6, null=True, blank=True, help_text="Rate.")
    take_profit = models.DecimalField(max_digits=8, decimal_places=6, null=True, blank=True, help_text="Rate.")
    trailing_stop = models.DecimalField(max_digits=8, decimal_places=6, null=True, blank=True, help_text="Rate.")
    time_stop = models.PositiveIntegerField(null=True, blank=True, help_text="Seconds.")
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ("strategy", "account")
        constraints = (
            models.UniqueConstraint(fields=("strategy", "account"), name="allocation_once"),
            models.CheckConstraint(condition=positive("notional"), name="allocation_notional_positive"),
        )

    def __str__(self) -> str:
        return f"{self.account} follows {self.strategy}"
