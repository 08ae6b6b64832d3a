"""Registers the app with Django."""

from django.apps import AppConfig


class MarketConfig(AppConfig):
    """See the package's modules for what it does."""

    name = "apps.market"
    verbose_name = "Market"
