"""Registers the app with Django."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccessConfig(AppConfig):
    """See the package's modules for what it does."""

    name = "apps.access"
    verbose_name = "Access"

    def ready(self) -> None:
        """Listen to who signs in and out, and to migrations, after which the roles are set."""
        from apps.access import lockout, roles, signals  # models are there only now

        post_migrate.connect(roles.after_migrate, dispatch_uid="apps.access.roles")
        signals.connect()
        lockout.connect()
