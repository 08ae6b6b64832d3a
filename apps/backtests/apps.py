"""Registers the app with Django."""

from django.apps import AppConfig


class BacktestsConfig(AppConfig):
    """See the package's modules for what it does."""

    name = "apps.backtests"
    verbose_name = "Backtests"
