"""What limits trading: rules as rows, each decision with the verdict of every rule, and breaches with what was done."""

from decimal import Decimal

from django.db import models
from django.db.models.functions import Now

from apps.domain import numbers
from apps.domain.restrictions import Scope
from apps.domain.risk.words import Action
from apps.domain.sides import Side
from apps.market.models import Instrument, PriceField
from apps.strategies.models import Signal, Strategy
from apps.trading.models.accounts import Account
from apps.trading.models.columns import choices, finite
from apps.trading.models.positions import Position
from apps.trading.models.profiles import RiskProfile


class RiskLimit(models.Model):
    """One rule with its parameters, where it applies, and what a breach leads to."""

    rule = models.CharField(max_length=64, help_text="The plug-in that judges.")
    profile = models.ForeignKey(
        RiskProfile,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="limits",
        help_text="Applies to accounts with this profile; empty: to every account in the scope.",
    )
    scope = models.CharField(max_length=10, choices=choices(Scope), default=Scope.SITE)
    target = models.BigIntegerField(default=0, help_text="The account, strategy or instrument; 0 for the site.")
    parameters = models.JSONField(default=dict, blank=True)
    action = models.CharField(
        max_length=8,
        choices=choices(Action),
        default=Action.REFUSE,
        help_text="What a breach seen by the monitor leads to; an entry that would break it is refused in any case.",
    )
    enabled = models.BooleanField(default=True)
    note = models.CharField(max_length=300, default="", blank=True)

    class Meta:
        ordering = ("rule", "scope", "target")
        constraints = (
            models.UniqueConstraint(
                fields=("rule", "profile", "scope", "target"), name="risklimit_once", nulls_distinct=False
            ),
            models.CheckConstraint(
                condition=models.Q(scope=Scope.SITE, target=0) | (~models.Q(scope=Scope.SITE) & models.Q(target__gt=0)),
                name="risklimit_names_its_target",
            ),
        )

    def __str__(self) -> str:
        return f"{self.rule} ({self.scope} {self.target or ''})".replace(" )", ")")


class Decision(models.Model):
    """A wish to enter, and what came of it: every rule's number, limit and formula. Never updated, never deleted."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, db_index=False, related_name="decisions")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, db_index=False, related_name="+")
    strategy = models.ForeignKey(
        Strategy, on_delete=models.DO_NOTHING, null=True, blank=True, db_constraint=False, related_name="decisions"
    )
    signal = models.ForeignKey(
        Signal, on_delete=models.DO_NOTHING, null=True, blank=True, db_constraint=False, related_name="decisions"
    )
    position = models.ForeignKey(
        Position,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="decisions",
        help_text="The lot it opened at once; one entered by an order hangs on the order.",
    )
    side = models.CharField(max_length=5, choices=choices(Side))
    quantity = PriceField(help_text="What was wanted, in base units.")
    price = PriceField(null=True, help_text="The price it was judged at.")
    approved = models.BooleanField()
    reason = models.CharField(max_length=500, default="", blank=True, help_text="Why not, in one sentence.")
    verdicts = models.JSONField(
        default=list, help_text="One per rule: rule, allowed, number, limit, formula, sentence."
    )
    request_key = models.CharField(max_length=64, null=True, blank=True)
    actor = models.CharField(max_length=150, default="", blank=True)
    source = models.CharField(max_length=16, default="", blank=True, help_text="signal, api, admin, ...")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("-id",)
        constraints = (
            finite("quantity", "price"),
            # Whatever comes twice is granted once: a signal that is delivered again, a request that is sent again.
            models.UniqueConstraint(
                fields=("account", "signal"),
                name="decision_approved_once_per_signal",
                condition=models.Q(approved=True),
            ),
            models.UniqueConstraint(
                fields=("account", "request_key"),
                name="decision_approved_once_per_request",
                condition=models.Q(approved=True),
            ),
        )
        indexes = (
            models.Index(fields=("account", "-id"), name="decision_account"),
            models.Index(fields=("signal",), name="decision_signal"),
            models.Index(fields=("account", "at"), name="decision_approved_at", condition=models.Q(approved=True)),
        )

    def __str__(self) -> str:
        return (
            f"{'approved' if self.approved else 'refused'} {self.side} {numbers.plain(self.quantity)} {self.instrument}"
        )


class Violation(models.Model):
    """A limit that is broken: since when, by how much, and what was done about it."""

    limit = models.ForeignKey(RiskLimit, on_delete=models.SET_NULL, null=True, related_name="violations")
    rule = models.CharField(max_length=64)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="violations")
    scope = models.CharField(max_length=10, choices=choices(Scope))
    target = models.BigIntegerField(default=0)
    number = models.CharField(max_length=40, help_text="What the rule saw.")
    bound = models.CharField(max_length=40, help_text="What it allows.")
    formula = models.CharField(max_length=300)
    sentence = models.CharField(max_length=500)
    action = models.CharField(max_length=8, choices=choices(Action))
    acted_at = models.DateTimeField(null=True, help_text="When the action was carried out.")
    began_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="When it was last seen.")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("limit", "account", "scope", "target"),
                name="violation_one_open",
                condition=models.Q(ended_at__isnull=True),
            ),
        )

    def __str__(self) -> str:
        return self.sentence


class RiskMetric(models.Model):
    """What an account was worth and risked at one instant: its equity curve and the history of its gauges."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, db_index=False, related_name="metrics")
    at = models.DateTimeField()
    equity = PriceField(help_text="Cash and the value of what is held.")
    cash = PriceField()
    gross = PriceField(help_text="What all positions are worth, longs and shorts added.")
    net = PriceField(help_text="Longs less shorts.")
    peak = PriceField(help_text="The highest equity so far.")
    day_start = PriceField(help_text="The equity at the start of the UTC day.")
    lowest = PriceField(null=True, help_text="The lowest equity seen in its minute; empty: `equity` is all there is.")
    open_positions = models.PositiveIntegerField(default=0)
    capital = PriceField(
        null=True,
        help_text="What was paid in so far, less what was taken out: peak and day start move with it, not the loss.",
    )
    measured_at = models.DateTimeField(null=True, help_text="When the row of a minute was last written.")

    class Meta:
        ordering = ("account", "at")
        constraints = (
            models.UniqueConstraint(fields=("account", "at"), name="riskmetric_once"),
            finite("equity", "cash", "gross", "net", "peak", "day_start", "capital", "lowest"),
        )
        indexes = (models.Index(fields=("-at", "account"), name="riskmetric_newest"),)

    def __str__(self) -> str:
        return f"{self.account_id} {self.at:%Y-%m-%d %H:%M} {self.equity}"

    @property
    def drawdown(self) -> Decimal:
        """The loss from the highest equity, as a rate."""
        return (self.peak - self.equity) / self.peak if self.peak > 0 else Decimal(0)
