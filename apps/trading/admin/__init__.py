"""The admin's section Trading. Rows of money are only looked at; what changes them are pages that call one service."""

from apps.trading.admin import accounts, allocations, books, exits, positions, restrictions

__all__ = ["accounts", "allocations", "books", "exits", "positions", "restrictions"]
