"""Fills and the ledger: what was traded and what it did to the money."""

from decimal import Decimal

from django.db import models
from django.db.models.functions import Now

from apps.market.models import Instrument, PriceField, positive, positive_or_empty
from apps.trading.models.accounts import Account
from apps.trading.models.columns import finite
from apps.trading.models.exits import Exit
from apps.trading.models.orders import Order
from apps.trading.models.positions import Position


class Fill(models.Model):
    """One execution: what was bought or sold, at what price and fee. Never updated, never deleted."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, db_index=False, related_name="fills")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, db_index=False)
    position = models.ForeignKey(Position, on_delete=models.PROTECT, related_name="fills")
    exit = models.ForeignKey(Exit, on_delete=models.PROTECT, null=True, related_name="fills")
    order = models.ForeignKey(Order, on_delete=models.PROTECT, null=True, blank=True, related_name="fills")
    client_id = models.CharField(
        max_length=160, unique=True, help_text="A pure function of position and purpose, or of the venue's own number."
    )
    buy = models.BooleanField()
    quantity = PriceField()
    price = PriceField()
    fee = PriceField(help_text="In the quote currency, at the fill's price where it was paid in another asset.")
    fee_asset = models.CharField(
        max_length=12, db_default="", default="", blank=True, help_text="Empty: the quote currency."
    )
    fee_paid = PriceField(null=True, blank=True, help_text="In `fee_asset`.")
    net = PriceField(
        null=True, blank=True, help_text="Base units that came or went with a fee in the base asset; empty: quantity."
    )
    at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(condition=positive("quantity"), name="fill_quantity_positive"),
            models.CheckConstraint(condition=positive("price"), name="fill_price_positive"),
            finite("fee", "fee_paid"),
            models.CheckConstraint(condition=positive_or_empty("net"), name="fill_net_positive"),
            models.UniqueConstraint(
                fields=("exit",), name="fill_once_per_exit_without_order", condition=models.Q(order__isnull=True)
            ),
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
    fill = models.ForeignKey(Fill, on_delete=models.PROTECT, null=True, related_name="ledger_entries")
    kind = models.CharField(max_length=16, help_text="deposit, open, close, fee, dust, adjust")
    position = models.ForeignKey(
        Position,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        db_index=False,
        related_name="dust",
        help_text="Whose unsellable rest it takes out of the books.",
    )
    quantity = PriceField(null=True, blank=True, help_text="Base units of that rest.")
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
            models.UniqueConstraint(fields=("fill", "currency"), name="ledgerentry_once_per_fill_and_currency"),
            models.UniqueConstraint(fields=("position",), name="ledgerentry_one_dust_per_position"),
            models.CheckConstraint(
                condition=models.Q(position=None, quantity=None)
                | (positive("quantity") & models.Q(position__isnull=False, quantity__isnull=False, fill=None)),
                name="ledgerentry_dust_is_of_a_position",
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
