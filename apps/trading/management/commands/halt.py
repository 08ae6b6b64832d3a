"""Stops trading: the kill switch as a command. It needs the database and nothing else."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.domain.restrictions import TradingState
from apps.trading.management import halt


class Command(BaseCommand):
    """`manage.py halt --reason "..." [--flatten]`; stops and targets go on protecting what is open."""

    help = "Stop opening positions, for the whole site or a part of it. Exits go on."
    requires_system_checks = ()  # they load every page of the site, and this is for emergencies

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare scope and severity."""
        halt.add_scope(parser)
        parser.add_argument("--reduce", action="store_true", help="reducing: strategies may still leave by signal")
        parser.add_argument("--flatten", action="store_true", help="leave every open position at the market as well")

    def handle(self, *args: Any, **options: Any) -> None:
        """Halt."""
        state = TradingState.REDUCING if options["reduce"] else TradingState.HALTED
        halt.carry_out(self, options, state, flatten=options["flatten"])
