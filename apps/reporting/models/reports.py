"""Reports that were made: what about, of which time, their figures, and their files."""

import hashlib
import zlib

from django.db import models
from django.db.models.functions import Now

from apps.strategies.models import Strategy
from apps.trading.models import Account


class ReportKind(models.TextChoices):
    """Which time a report is about."""

    DAILY = "daily", "from one close to the next"
    WEEKLY = "weekly", "up to the last close on or before a Friday"
    MONTHLY = "monthly", "up to the last close of a month"
    MORNING = "morning", "before a session: what to know when it opens"


class ReportState(models.TextChoices):
    """How far a report is."""

    WANTED = "wanted", "to be made by the next worker that has time"
    MAKING = "making", "a worker makes it now"
    MADE = "made", "its files are stored"
    FAILED = "failed", "given up; it can be made anew by hand"


class FileFormat(models.TextChoices):
    """A file of a report; its tables are written as CSV when they are asked for."""

    HTML = "html", "HTML"
    PDF = "pdf", "PDF"


class Report(models.Model):
    """One report: there is one of each kind, subject and day, however often it is asked for."""

    kind = models.CharField(max_length=8, choices=ReportKind.choices)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, db_index=False, related_name="reports")
    strategy = models.ForeignKey(
        Strategy,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="reports",
        help_text="What this strategy did on the account; empty: everything.",
    )
    day = models.DateField(help_text="The day of the session it ends with; a morning's own day.")
    since = models.DateTimeField()
    until = models.DateTimeField(help_text="The first instant it is not about any more.")
    state = models.CharField(max_length=6, choices=ReportState.choices, default=ReportState.WANTED)
    wanted_at = models.DateTimeField(db_default=Now())
    wanted_by = models.CharField(max_length=150, default="", blank=True, help_text="Empty for the timetable.")
    claimed_at = models.DateTimeField(null=True, help_text="When a worker began to make it.")
    tries = models.PositiveSmallIntegerField(default=0, help_text="Begun since it was last wanted.")
    made_at = models.DateTimeField(null=True)
    seconds = models.FloatField(null=True, help_text="How long making it took.")
    error = models.CharField(max_length=500, default="", blank=True)
    figures = models.JSONField(default=dict, help_text="Everything it says, decimals as strings.")

    class Meta:
        ordering = ("-until", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=("account", "kind", "day", "strategy"), name="report_once", nulls_distinct=False
            ),
            models.CheckConstraint(condition=models.Q(until__gt=models.F("since")), name="report_forward"),
        )
        indexes = (
            models.Index(fields=("account", "-until", "-id"), name="report_newest"),
            models.Index(
                fields=("wanted_at",), name="report_unmade", condition=models.Q(state__in=("wanted", "making"))
            ),
        )

    def __str__(self) -> str:
        return f"{self.word} report of {self.day}"

    @property
    def word(self) -> str:
        """Its kind with a capital."""
        return self.kind.capitalize()

    @property
    def file_name(self) -> str:
        """The name of its files, without an ending."""
        whose = f"-strategy-{self.strategy_id}" if self.strategy_id else ""
        return f"{self.kind}-account-{self.account_id}{whose}-{self.day}"


class ReportFile(models.Model):
    """One file of a report, compressed."""

    report = models.ForeignKey(Report, on_delete=models.CASCADE, db_index=False, related_name="files")
    format = models.CharField(max_length=4, choices=FileFormat.choices)
    content = models.BinaryField(help_text="Compressed by zlib.")
    size = models.PositiveIntegerField(help_text="Bytes of the file itself.")
    sha256 = models.CharField(max_length=64, help_text="Of the file itself.")

    class Meta:
        ordering = ("report", "format")
        constraints = (models.UniqueConstraint(fields=("report", "format"), name="report_file_once"),)

    def __str__(self) -> str:
        return f"{self.format} of report {self.report_id}"

    @classmethod
    def packed(cls, report: Report, kind: FileFormat, content: bytes) -> "ReportFile":
        """Return the row of a file, not stored yet."""
        digest = hashlib.sha256(content).hexdigest()
        return cls(report=report, format=kind, content=zlib.compress(content, 6), size=len(content), sha256=digest)

    def unpacked(self) -> bytes:
        """Return the file. Raises ValueError when it is not the one that was stored."""
        try:
            content = zlib.decompress(bytes(self.content))
        except zlib.error as error:
            raise ValueError(f"{self} cannot be unpacked: {error}") from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise ValueError(f"{self} is not the file that was stored")
        return content
