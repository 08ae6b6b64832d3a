"""Registers the app with Django."""

from django.apps import AppConfig


class ReportingConfig(AppConfig):
    """See the package's modules for what it does."""

    name = "apps.reporting"
    verbose_name = "Reporting"
