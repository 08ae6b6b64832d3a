"""Registers the app with Django."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate


class AccessConfig(AppConfig):
    """See the package's modules for what it does."""

    name = "apps.access"
    verbose_name = "Access"

    def ready(self) -> None:
        """Listen to who signs in and out, and to migrations, after which roles and the history's triggers are set."""
        from apps.access import lockout, roles, signals  # models are there only now
        from apps.access.history import signing, watched

        post_migrate.connect(roles.after_migrate, dispatch_uid="apps.access.roles")
        post_migrate.connect(watched.after_migrate, dispatch_uid="apps.access.history")
        connection_created.connect(signing.on_connection, dispatch_uid="apps.access.history")
        signals.connect()
        lockout.connect()
