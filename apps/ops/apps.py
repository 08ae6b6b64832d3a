"""Registers the app with Django."""

from django.apps import AppConfig


class OpsConfig(AppConfig):
    """See the package's modules for what it does."""

    name = "apps.ops"
    verbose_name = "Ops"
