"""What can keep an upgrade from being made.

UpgradeRefused  it was not begun: something else runs, or the tables are newer than the code; nothing was changed
"""

from apps.domain.errors import Unavailable


class UpgradeRefused(Unavailable):
    """The upgrade was not begun; the sentence says why and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=True)
