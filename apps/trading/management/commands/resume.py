"""Allows trading again: what `halt` or the switch in the admin stopped."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.domain.restrictions import TradingState
from apps.trading.management import halt


class Command(BaseCommand):
    """`manage.py resume --reason "..."`; what is restricted elsewhere stays so."""

    help = "Allow trading again, for the whole site or a part of it."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the scope."""
        halt.add_scope(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Resume."""
        halt.carry_out(self, options, TradingState.ACTIVE)
