"""Errors to Sentry and traces to OpenTelemetry, for whoever runs these: loaded only when their addresses are set."""

from django.conf import settings

from apps.ops.logs import naming
from apps.ops.telemetry import sentry, tracing


def begin() -> None:
    """Begin in a process of the site, if it is set. Raises Missing when the packages are not installed."""
    process = naming.of_this_process()
    if process and settings.SENTRY_DSN:
        sentry.begin(settings.SENTRY_DSN, process)
    if process and settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        tracing.begin(settings.OTEL_EXPORTER_OTLP_ENDPOINT, process)
