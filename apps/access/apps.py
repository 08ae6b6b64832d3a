"""Registers the app with Django."""

from django.apps import AppConfig


class AccessConfig(AppConfig):
    """See the package's modules for what it does."""

    name = "apps.access"
    verbose_name = "Access"
