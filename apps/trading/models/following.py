"""Which accounts follow which strategies, and with how much."""

from django.db import models

from apps.domain.backtests.conventions import Entries, Sides
from apps.market.models import PriceField, positive
from apps.strategies.models import Strategy
from apps.trading.models.accounts import Account
from apps.trading.models.columns import choices


class Allocation(models.Model):
    """How an account follows a strategy: which signals, how much for each, how many lots at a time, and the way out.

    The words for entries and sides are those of a backtest's conventions, and mean the same.
    """

    strategy = models.ForeignKey(Strategy, on_delete=models.CASCADE, related_name="allocations")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="allocations")
    notional = PriceField(help_text="Quote currency per lot.")
    max_lots = models.PositiveSmallIntegerField(default=1, help_text="Open lots per instrument at most.")
    sides = models.CharField(
        max_length=5, choices=choices(Sides), default=Sides.BOTH, help_text="Which positions it may open."
    )
    entries = models.CharField(
        max_length=6,
        choices=choices(Entries),
        default=Entries.CHANGE,
        help_text="Open when the stance changed from that of the bar before, or on every bar that is not flat.",
    )
    exit_on_signal = models.BooleanField(
        default=True, help_text="Leave a lot once its strategy is flat or wants the other side."
    )
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
