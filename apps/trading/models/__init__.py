"""Accounts and their books, positions and the ways out of them. Money rows change only through the services."""

from apps.trading.models.accounts import Account
from apps.trading.models.books import Balance, Fill, LedgerEntry
from apps.trading.models.exits import Drain, Exit
from apps.trading.models.following import Allocation
from apps.trading.models.keys import Credential
from apps.trading.models.orders import Order, PaperOrder
from apps.trading.models.positions import ExitLeg, LevelChange, Position, Watermark
from apps.trading.models.profiles import RiskProfile
from apps.trading.models.reconciling import Discrepancy, DiscrepancyKind, Resolution, Standing
from apps.trading.models.restrictions import Restriction
from apps.trading.models.risk import Decision, RiskLimit, RiskMetric, Violation

__all__ = [
    "Account",
    "Allocation",
    "Balance",
    "Credential",
    "Decision",
    "Discrepancy",
    "DiscrepancyKind",
    "Drain",
    "Exit",
    "ExitLeg",
    "Fill",
    "LedgerEntry",
    "LevelChange",
    "Order",
    "PaperOrder",
    "Position",
    "Resolution",
    "Restriction",
    "RiskLimit",
    "RiskMetric",
    "RiskProfile",
    "Standing",
    "Violation",
    "Watermark",
]
