"""Sets of risk rules that accounts share."""

from django.db import models


class RiskProfile(models.Model):
    """A named set of risk rules; an account has one or none."""

    name = models.CharField(max_length=80, unique=True)
    description = models.CharField(max_length=300, default="", blank=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
