"""Where trading is restricted, by whom and why."""

from django.db import models

from apps.domain.restrictions import Scope, TradingState
from apps.trading.models.columns import choices


class Restriction(models.Model):
    """Trading is reducing or halted in one scope; no row means active. What was before is in the journal."""

    scope = models.CharField(max_length=10, choices=choices(Scope))
    target = models.BigIntegerField(default=0, help_text="The account, strategy or instrument; 0 for the site.")
    state = models.CharField(max_length=8, choices=choices(TradingState))
    reason = models.CharField(max_length=300)
    actor = models.CharField(max_length=150, help_text="Who said so.")
    since = models.DateTimeField()

    class Meta:
        ordering = ("scope", "target")
        permissions = (
            ("restrict", "Can stop trading"),
            ("rearm", "Can allow trading again"),
        )
        constraints = (
            models.UniqueConstraint(fields=("scope", "target"), name="restriction_once_per_scope"),
            models.CheckConstraint(
                condition=models.Q(state__in=(TradingState.REDUCING, TradingState.HALTED)),
                name="restriction_restricts",
            ),
            models.CheckConstraint(
                condition=models.Q(scope=Scope.SITE, target=0) | (~models.Q(scope=Scope.SITE) & models.Q(target__gt=0)),
                name="restriction_names_its_target",
            ),
        )

    def __str__(self) -> str:
        return f"{self.scope} {self.target or ''} {self.state}".replace("  ", " ")
