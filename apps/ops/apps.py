"""Registers the app with Django."""

from django.apps import AppConfig

from apps.journal import figures


class OpsConfig(AppConfig):
    """See the package's modules for what it does."""

    name = "apps.ops"
    verbose_name = "Ops"

    def ready(self) -> None:
        """Let signs of life follow the live configuration, the page of figures show ours, and errors go where set."""
        from apps.journal import pulses
        from apps.ops import telemetry
        from apps.ops.configuration import following
        from apps.ops.metrics.figures import figures as own  # here: models are ready only now

        pulses.also(following.told)
        figures.install("ops", own)
        telemetry.begin()
