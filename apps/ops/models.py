"""The rows of `ops`, each kind defined beside the code it belongs to."""

from apps.ops.backups.models import BackupRun
from apps.ops.configuration.models import ConfigurationVersion
from apps.ops.jobs.models import Job, JobRun

__all__ = ["BackupRun", "ConfigurationVersion", "Job", "JobRun"]
