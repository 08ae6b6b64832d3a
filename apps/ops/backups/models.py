"""Each backup taken and each drill, as a row that says how it went."""

from django.db import models


class Kind(models.TextChoices):
    """What was done."""

    BACKUP = "backup", "backup"
    DRILL = "drill", "drill"


class Status(models.TextChoices):
    """How it stands. A row that runs although nobody works on it was killed; the next run says so."""

    RUNNING = "running", "running"
    DONE = "done", "done"
    FAILED = "failed", "failed"


class BackupRun(models.Model):
    """One backup, or one restore of a backup for trial."""

    kind = models.CharField(max_length=8, choices=Kind.choices)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.RUNNING)
    name = models.CharField(max_length=80, blank=True, default="", help_text="The folder's name in BACKUP_DIR.")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    size = models.BigIntegerField(null=True, help_text="Bytes of the dumps as they are stored.")
    sentence = models.TextField(blank=True, default="", help_text="What came of it.")
    facts = models.JSONField(default=dict)

    class Meta:
        app_label = "ops"
        ordering = ("-id",)
        verbose_name = "backup"
        indexes = (models.Index(fields=("kind", "status", "-started_at"), name="backuprun_newest"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.name or self.pk}"
