"""Run the tick listener of one shard: prices in, exits out."""

import sys
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandParser

from workers import bell, stopping
from workers.listener.process import Listener

# Seconds one thread may compute while another waits: a crossing must not wait 5 ms behind a batch for the tick store.
SWITCH_INTERVAL: Final = 0.0005


class Command(BaseCommand):
    """`manage.py listener --shard 0`; start it twice for a hot standby."""

    help = "Turn the ticks of one shard's instruments into exits. A second one stands by and takes over."
    requires_system_checks = ()  # they load every page of the site, which takes a second

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the shard."""
        parser.add_argument("--shard", type=int, default=0, help="which shard of instruments (default 0)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Listen until a signal."""
        sys.setswitchinterval(SWITCH_INTERVAL)
        listener = Listener(options["shard"], bell.ring, bell.ring_ahead)
        with stopping.told(listener.role, listener.stop) as story:
            status = listener.run()
            story.failure = "a part of it ended; see its log" if status else ""
        if status:
            raise SystemExit(status)
