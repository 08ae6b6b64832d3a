"""Whose money is traded, and what trading costs there."""

from decimal import Decimal

from django.conf import settings
from django.db import models

from apps.domain import numbers
from apps.market.models import PriceField
from apps.trading.models.keys import Credential
from apps.trading.models.profiles import RiskProfile


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
    instant = models.BooleanField(
        default=True,
        help_text="Its market orders are filled and booked in one transaction, without an order at a broker.",
    )
    live = models.BooleanField(default=False, help_text="Real money: needs the site's own switch as well.")
    credential = models.ForeignKey(Credential, on_delete=models.PROTECT, null=True, blank=True, related_name="accounts")
    broker_options = models.JSONField(default=dict, blank=True, help_text="What the broker plug-in lets one choose.")
    risk_profile = models.ForeignKey(
        RiskProfile, on_delete=models.PROTECT, null=True, blank=True, related_name="accounts"
    )

    class Meta:
        ordering = ("id",)
        permissions = (("go_live", "Can let an account trade real money"),)
        constraints = (
            models.UniqueConstraint(fields=("owner", "name"), name="account_name_per_owner"),
            models.CheckConstraint(
                condition=models.Q(fee_rate__gte=0, fee_rate__lt=1, slippage_rate__gte=0, slippage_rate__lt=1),
                name="account_rates_are_rates",
            ),
            models.CheckConstraint(
                condition=models.Q(instant=False) | models.Q(live=False), name="account_live_orders"
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
