"""Ways to reach people, and when a person wants to be reached."""

from django.conf import settings
from django.db import models


class Channel(models.Model):
    """One address of one provider: a chat, a mailbox, a web address. Its secrets are encrypted and never shown."""

    name = models.CharField(max_length=80, unique=True)
    kind = models.CharField(max_length=32, help_text="The channel plug-in that delivers.")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="channels")
    enabled = models.BooleanField(default=True, help_text="Off: what is to be delivered waits.")
    options = models.JSONField(default=dict, blank=True)
    sealed = models.BinaryField(help_text="Its secrets, encrypted.")
    per_minute = models.PositiveIntegerField(default=20, help_text="Messages a minute at most; the others wait.")
    failures = models.PositiveIntegerField(default=0, help_text="Tries in a row that failed.")
    paused_until = models.DateTimeField(null=True, blank=True, help_text="Nothing is tried before.")
    last_error = models.CharField(max_length=500, default="", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)
        constraints = (models.CheckConstraint(condition=models.Q(per_minute__gte=1), name="channel_sends_something"),)

    def __str__(self) -> str:
        return self.name


class Habit(models.Model):
    """When a person wants quiet, and when their digest: times of their own time zone."""

    person = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="habit")
    time_zone = models.CharField(max_length=64, default="UTC", help_text="Such as Europe/Berlin.")
    quiet_from = models.TimeField(null=True, blank=True, help_text="From here only critical events are delivered.")
    quiet_until = models.TimeField(null=True, blank=True, help_text="The others follow then, in one message.")
    digest_at = models.TimeField(default="07:00", help_text="When what was gathered for a digest is delivered.")

    class Meta:
        ordering = ("person",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(quiet_from__isnull=True, quiet_until__isnull=True)
                | models.Q(quiet_from__isnull=False, quiet_until__isnull=False),
                name="habit_quiet_has_two_ends",
            ),
        )

    def __str__(self) -> str:
        return f"habit of {self.person_id}"
