"""Registers the processes with Django, and wires what services call workers with."""

from django.apps import AppConfig

from apps.backtests import bell


def _call(task: str, row_id: int) -> None:
    from workers import calls  # here: most commands call nobody, and need not load Celery

    calls.call(task, row_id)


class WorkersConfig(AppConfig):
    """See the package's modules for what it does."""

    name = "workers"

    def ready(self) -> None:
        """Let every process of the site, commands included, call workers."""
        bell.install(_call)
