"""What is to be delivered, and every try."""

from django.db import models

from apps.reporting.models.channels import Channel
from apps.reporting.models.routes import Route
from apps.reporting.severity import Severity


class DeliveryStatus(models.TextChoices):
    """Where a delivery stands."""

    WAITING = "waiting", "to be sent when it is due"
    HELD = "held", "gathered for a digest, or until quiet hours end"
    SENDING = "sending", "a worker is handing it to the provider now"
    SENT = "sent", "the provider took it"
    MERGED = "merged", "delivered inside another message"
    REPEATED = "repeated", "not delivered: the same was said shortly before"
    DEAD = "dead", "given up; it can be sent again by hand"


class Outcome(models.TextChoices):
    """What one try came to."""

    SENT = "sent", "the provider took it"
    RETRY = "retry", "certainly not delivered; tried again"
    UNCLEAR = "unclear", "perhaps delivered; tried again, so it may arrive twice"
    PERMANENT = "permanent", "refused for good"


class Delivery(models.Model):
    """One event on one route, or several of them in one message. The row is the work: a bell may be lost."""

    event_id = models.BigIntegerField(null=True, help_text="Empty for a message that several were merged into.")
    route = models.ForeignKey(Route, on_delete=models.PROTECT, related_name="deliveries")
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="deliveries")
    kind = models.CharField(max_length=64)
    subject = models.CharField(max_length=64)
    account_id = models.BigIntegerField(null=True)
    severity = models.CharField(max_length=8, choices=[(str(each), str(each)) for each in Severity])
    title = models.CharField(max_length=200)
    body = models.TextField(default="", blank=True)
    happened_at = models.DateTimeField()
    status = models.CharField(max_length=8, choices=DeliveryStatus.choices, default=DeliveryStatus.WAITING)
    due_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True)
    tries = models.PositiveIntegerField(default=0, help_text="Since it was made, or sent again by hand.")
    claims = models.PositiveIntegerField(default=0, help_text="Tries ever begun; tells one claim from another.")
    doubtful = models.PositiveIntegerField(default=0, help_text="Tries that may have arrived although no answer came.")
    repeats = models.PositiveIntegerField(default=0, help_text="How often the same happened again and was not said.")
    sent_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=500, default="", blank=True)
    reference = models.CharField(max_length=200, default="", blank=True, help_text="How the provider calls it.")
    merged_into = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="parts")

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "deliveries"
        constraints = (models.UniqueConstraint(fields=("event_id", "route"), name="delivery_once_per_route"),)
        indexes = (
            models.Index(
                fields=("channel", "due_at", "id"),
                name="delivery_waiting",
                condition=models.Q(status__in=("waiting", "sending")),
            ),
            models.Index(fields=("due_at",), name="delivery_held", condition=models.Q(status="held")),
            models.Index(fields=("route", "kind", "subject", "happened_at"), name="delivery_repeats"),
        )

    def __str__(self) -> str:
        return f"{self.kind} to {self.channel_id}"

    @property
    def key(self) -> str:
        """The name of this message for a provider that can tell a repeat; the same in every try."""
        return f"delivery-{self.pk}"


class Attempt(models.Model):
    """One try to deliver, as it ended."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="+", db_index=False)
    number = models.PositiveIntegerField()
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    outcome = models.CharField(max_length=9, choices=Outcome.choices)
    said = models.CharField(max_length=500, default="", blank=True, help_text="What the provider said, or the error.")

    class Meta:
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=("delivery", "number"), name="attempt_once_per_claim"),)
        indexes = (models.Index(fields=("channel", "began_at"), name="attempt_pace"),)

    def __str__(self) -> str:
        return f"{self.outcome} of {self.delivery_id}"
