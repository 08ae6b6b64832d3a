"""Which events go where, and in which words."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from apps.reporting.models.channels import Channel
from apps.reporting.severity import Severity


class Route(models.Model):
    """Events of these kinds, this loud, that this person may see, go to this channel."""

    name = models.CharField(max_length=80, unique=True)
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="routes")
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="routes",
        help_text="Who reads it: only what this person may see is delivered, and not in their quiet hours.",
    )
    enabled = models.BooleanField(default=True)
    kinds = models.CharField(
        max_length=300, default="*", help_text="Kinds of events, with * for any part: position.*, exit.failed."
    )
    severity = models.CharField(
        max_length=8,
        choices=[(str(each), str(each)) for each in Severity],
        default=Severity.NOTICE,
        help_text="This loud and above.",
    )
    account_id = models.BigIntegerField(null=True, blank=True, help_text="Of this account only; empty: of all.")
    digest = models.BooleanField(default=False, help_text="Gather, and deliver once a day.")
    repeat_seconds = models.PositiveIntegerField(
        default=0, help_text="The same kind about the same thing is not repeated for this long; 0: always delivered."
    )

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Wording(models.Model):
    """The words for one kind of event, instead of the built-in ones."""

    kind = models.CharField(max_length=64, unique=True)
    title = models.CharField(max_length=200)
    body = models.TextField(max_length=4000, blank=True, default="")
    severity = models.CharField(
        max_length=8,
        choices=[(str(each), str(each)) for each in Severity],
        blank=True,
        default="",
        help_text="Another loudness than the built-in one.",
    )

    class Meta:
        ordering = ("kind",)

    def __str__(self) -> str:
        return self.kind


class Place(models.Model):
    """How far the journal was followed: everything up to `head`, but for what was missing."""

    name = models.CharField(primary_key=True, max_length=32)
    head = models.BigIntegerField()
    missing = models.JSONField(default=dict, help_text="Numbers not seen yet, and when each was first missed.")
    moved_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.name} at {self.head}"
