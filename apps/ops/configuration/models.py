"""Versions of the live configuration: each one whole, with what changed, who changed it and why. Never rewritten."""

from django.db import models


class ConfigurationVersion(models.Model):
    """What was set beyond environment and file, from one change to the next; the highest number is in force."""

    version = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField(help_text="When it was stored (UTC).")
    actor = models.CharField(max_length=150, blank=True, default="", help_text="Who changed it.")
    reason = models.CharField(max_length=300, help_text="Why.")
    chosen = models.JSONField(default=dict, help_text="Every value that is set here, as text.")
    changes = models.JSONField(default=dict, help_text="What this version changed: from, to; empty is not set here.")

    class Meta:
        app_label = "ops"
        ordering = ("-version",)
        verbose_name = "configuration"
        verbose_name_plural = "configuration"

    def __str__(self) -> str:
        return f"version {self.version}"
