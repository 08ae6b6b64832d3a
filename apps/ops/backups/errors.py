"""What can go wrong with a backup, said in one sentence each.

BackupBusy      another one is under way: not an error of this one, try later
BackupFailed    a server, a program or a disk did not do its part; nothing half done is left
BackupUnusable  the backup itself, its key or its target is not what a restore needs; trying again changes nothing
"""

from apps.domain.errors import Unavailable


class BackupBusy(Unavailable):
    """Somebody else takes or tries a backup of this site at this moment."""


class BackupFailed(Unavailable):
    """A backup or a restore could not be finished; what was begun has been removed."""


class BackupUnusable(Unavailable):
    """A backup cannot be used: damaged, unfinished, foreign, sealed with another key, or from newer code."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=True)
