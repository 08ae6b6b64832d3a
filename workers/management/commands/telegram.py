"""Run the remote control: it polls the Telegram bots that take orders."""

from typing import Any

from django.core.management.base import BaseCommand

from workers import stopping
from workers.telegram import Control


class Command(BaseCommand):
    """`manage.py telegram`; start it twice for a standby."""

    help = "Poll the Telegram bots that take orders, one poller per bot by lease; without such a bot it only waits."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def handle(self, *args: Any, **options: Any) -> None:
        """Poll until a signal."""
        control = Control()
        with stopping.told("telegram", control.stop):
            control.run()
