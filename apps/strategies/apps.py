"""Registers the app with Django."""

from django.apps import AppConfig


class StrategiesConfig(AppConfig):
    """See the package's modules for what it does."""

    name = "apps.strategies"
    verbose_name = "Strategies"
