"""Registers the app with Django."""

from django.apps import AppConfig


class JournalConfig(AppConfig):
    """See the package's modules for what it does."""

    name = "apps.journal"
    verbose_name = "Journal"
