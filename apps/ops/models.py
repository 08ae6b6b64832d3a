"""The rows of `ops`, each kind defined beside the code it belongs to."""

from apps.ops.backups.models import BackupRun

__all__ = ["BackupRun"]
