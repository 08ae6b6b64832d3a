"""Registers the app with Django."""

from django.apps import AppConfig


class TradingConfig(AppConfig):
    """See the package's modules for what it does."""

    name = "apps.trading"
    verbose_name = "Trading"
