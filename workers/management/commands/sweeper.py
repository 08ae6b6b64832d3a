"""Run the sweeper: the second look at every exit, without Celery and without Redis."""

from typing import Any

from django.core.management.base import BaseCommand

from workers import stopping
from workers.sweeper import Sweeper


class Command(BaseCommand):
    """`manage.py sweeper`; start it twice for a standby."""

    help = "Every second: execute exits nobody executed, find those nobody wrote, write time stops that are due."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def handle(self, *args: Any, **options: Any) -> None:
        """Sweep until a signal."""
        sweeper = Sweeper()
        with stopping.told("sweeper", sweeper.stop):
            sweeper.run()
