"""Which way a position faces, and the sign that lets one rule serve both ways."""

from enum import StrEnum


class Side(StrEnum):
    """The direction of a position."""

    LONG = "long"  # gains when the price rises
    SHORT = "short"  # gains when the price falls

    @property
    def sign(self) -> int:
        """+1 for long, -1 for short: every rule below is written once and multiplied by it."""
        return 1 if self is Side.LONG else -1
