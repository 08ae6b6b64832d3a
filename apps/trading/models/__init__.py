"""Accounts and their books, positions and the ways out of them. Money rows change only through the services."""

from apps.trading.models.accounts import Account
from apps.trading.models.books import Balance, Fill, LedgerEntry
from apps.trading.models.exits import Drain, Exit
from apps.trading.models.following import Allocation
from apps.trading.models.positions import ExitLeg, LevelChange, Position, Watermark
from apps.trading.models.restrictions import Restriction

__all__ = [
    "Account",
    "Allocation",
    "Balance",
    "Drain",
    "Exit",
    "ExitLeg",
    "Fill",
    "LedgerEntry",
    "LevelChange",
    "Position",
    "Restriction",
    "Watermark",
]
