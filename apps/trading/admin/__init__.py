"""The admin's section Trading. Rows of money are only looked at; what changes them are pages that call one service."""

from apps.trading.admin import (
    accounts,
    allocations,
    books,
    credentials,
    decisions,
    discrepancies,
    exits,
    orders,
    positions,
    restrictions,
    risk,
    violations,
)

__all__ = [
    "accounts",
    "allocations",
    "books",
    "credentials",
    "decisions",
    "discrepancies",
    "exits",
    "orders",
    "positions",
    "restrictions",
    "risk",
    "violations",
]
