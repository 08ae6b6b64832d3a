"""What a venue says against what we know: where an account stands, and every difference as a row."""

from django.db import models
from django.db.models.functions import Now

from apps.domain.reconciling import DiscrepancyKind, Resolution
from apps.trading.models.accounts import Account
from apps.trading.models.columns import choices

__all__ = ["Discrepancy", "DiscrepancyKind", "Resolution", "Standing"]


class Standing(models.Model):
    """Where an account at a broker stands with its venue: until the two agree, positions are only left."""

    account = models.OneToOneField(Account, on_delete=models.CASCADE, primary_key=True, related_name="standing")
    clean_at = models.DateTimeField(null=True, help_text="When both agreed last; empty: not since the start.")
    looked_at = models.DateTimeField(null=True, help_text="When the venue was compared last.")
    fills_through = models.DateTimeField(null=True, help_text="Fills up to here are known.")
    fills_from = models.DateTimeField(null=True, help_text="Fills before this are none of ours.")
    skew = models.DecimalField(
        max_digits=12, decimal_places=3, null=True, help_text="Seconds the venue's clock is ahead of ours."
    )
    suspects = models.JSONField(default=dict, blank=True, help_text="What differed at the last look, until seen again.")
    trouble = models.CharField(max_length=300, default="", blank=True, help_text="Why the last look failed.")

    def __str__(self) -> str:
        return f"{self.account_id} {'clean' if self.clean_at else 'reducing'}"


class Discrepancy(models.Model):
    """One difference between the venue and us, open until a person says what to do or both agree again."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="discrepancies")
    kind = models.CharField(max_length=16, choices=choices(DiscrepancyKind))
    subject = models.CharField(max_length=120, help_text="The order, fill, instrument or currency.")
    ours = models.CharField(max_length=120, help_text="What we know.")
    theirs = models.CharField(max_length=120, help_text="What the venue says.")
    gap = models.CharField(max_length=120, default="", help_text="Stays the same while both sides move together.")
    facts = models.JSONField(default=dict, help_text="All that the venue said.")
    resolution = models.CharField(max_length=12, choices=choices(Resolution), default=Resolution.OPEN)
    found_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())
    resolved_at = models.DateTimeField(null=True)
    actor = models.CharField(max_length=150, default="", blank=True)
    reason = models.CharField(max_length=300, default="", blank=True)
    undo = models.JSONField(null=True, help_text="What undoing it takes.")

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "discrepancies"
        permissions = (("resolve", "Can resolve discrepancies"),)
        constraints = (
            models.UniqueConstraint(
                fields=("account", "kind", "subject"),
                name="discrepancy_one_open",
                condition=models.Q(resolution="open"),
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}: {self.ours} here, {self.theirs} there"
