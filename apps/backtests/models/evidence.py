"""What a promotion rested on, and what paper trading showed: kept even when the runs it names are gone."""

from django.db import models

from apps.backtests.models.runs import Run
from apps.domain.backtests.gate import Need
from apps.strategies.models import Strategy

NEEDS = [(need.value, need.value.replace("_", " ")) for need in Need]


class Evidence(models.Model):
    """One piece of evidence about one version of a strategy. Rows are added, never changed.

    Backtests become evidence by a promotion that rests on them; a comparison of paper trading is evidence by itself.
    """

    strategy = models.ForeignKey(Strategy, on_delete=models.CASCADE, related_name="evidence")
    need = models.CharField(max_length=16, choices=NEEDS)
    version = models.CharField(max_length=64, help_text="Digest of the code and parameters it is about.")
    run = models.ForeignKey(Run, on_delete=models.SET_NULL, null=True, blank=True, related_name="evidence")
    since = models.DateTimeField(null=True, blank=True)
    until = models.DateTimeField(null=True, blank=True)
    facts = models.JSONField(default=dict, help_text="What it shows, as it was then.")
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=150, default="", blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "evidence"
        constraints = (
            models.CheckConstraint(
                condition=models.Q(need__in=[need.value for need in Need]), name="evidence_need_known"
            ),
        )
        indexes = (models.Index(fields=("strategy", "need", "-id"), name="evidence_of_strategy"),)

    def __str__(self) -> str:
        return f"evidence {self.pk}: {self.need} of {self.strategy}"
