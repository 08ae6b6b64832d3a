"""A job is a task with a rule that says when; each slot of it is one row that is run once."""

from datetime import timedelta

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now

from apps.domain import calendar_rules, rule_text
from apps.market.models import validate_calendar


def validate_rule(text: str) -> None:
    """Refuse a rule that cannot be read. Raises ValidationError."""
    try:
        rule_text.parse(text)
    except calendar_rules.RuleRefused as error:
        raise ValidationError(str(error), code="rule") from None


def validate_zone(name: str) -> None:
    """Refuse an unknown time zone. Raises ValidationError."""
    if name:
        validate_rule(f"at 00:00 {name}")


class Missed(models.TextChoices):
    """What becomes of slots that passed while nothing ran."""

    ALL = "all", "run every one"
    LATEST = "latest", "run the latest one"
    SKIP = "skip", "skip them"


class State(models.TextChoices):
    """How a run stands. One that runs although its worker is gone is taken again."""

    WAITING = "waiting", "waiting"
    RUNNING = "running", "running"
    DONE = "done", "done"
    FAILED = "failed", "failed"
    SKIPPED = "skipped", "skipped"


class Job(models.Model):
    """One thing to do at the instants that a calendar rule names."""

    name = models.CharField(max_length=100, unique=True)
    task = models.CharField(max_length=100, help_text="What is done: the name of a task, like reporting.prune.")
    kwargs = models.JSONField("arguments", default=dict, blank=True, help_text="What the task is given, by name.")
    rule = models.CharField(
        max_length=200,
        validators=[validate_rule],
        help_text="When: at close + 15m on sessions; at 02:00 UTC; every 5m in session.",
    )
    calendar = models.CharField(
        max_length=32,
        default="24/7",
        validators=[validate_calendar],
        help_text="Whose sessions count: XNYS (New York), CMES, 24/7, ...",
    )
    zone = models.CharField(
        "time zone",
        max_length=64,
        default="",
        blank=True,
        validators=[validate_zone],
        help_text="Of times of day in the rule, like America/New_York; empty: the calendar's own.",
    )
    missed = models.CharField(
        max_length=8,
        choices=Missed.choices,
        default=Missed.LATEST,
        help_text="What to do about slots that passed while the site was down.",
    )
    grace = models.DurationField(
        default=timedelta(minutes=5), help_text="How late a slot may begin before it counts as missed."
    )
    attempts = models.PositiveSmallIntegerField(default=3, help_text="How often a run is tried at most.")
    enabled = models.BooleanField(default=True)
    description = models.TextField(blank=True, default="")
    # What the leading beat keeps: every slot before `served_until` has its row.
    served_until = models.DateTimeField(null=True, editable=False)
    next_at = models.DateTimeField("next run", null=True, editable=False)
    problem = models.TextField(default="", blank=True, editable=False, help_text="Why there is no next run.")

    class Meta:
        app_label = "ops"
        ordering = ("name",)
        verbose_name = "job"
        constraints = (
            models.CheckConstraint(condition=models.Q(attempts__gte=1, attempts__lte=20), name="job_attempts"),
            models.CheckConstraint(condition=models.Q(missed__in=Missed.values), name="job_missed"),
        )

    def __str__(self) -> str:
        return self.name


class JobRun(models.Model):
    """One slot of a job. Written by the leading beat, or because a person asked, before any worker is called."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="runs")
    slot = models.DateTimeField(help_text="When it was due, or asked for.")
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    epoch = models.BigIntegerField(default=0, help_text="Of the beat that wrote it; 0: a person asked for it.")
    asked_by = models.CharField(max_length=150, default="", blank=True, help_text="Who asked; empty: the timetable.")
    made_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(help_text="From when a worker may take it, later than the slot after a failure.")
    rung_at = models.DateTimeField(null=True, help_text="When a worker was last called.")
    attempts = models.PositiveSmallIntegerField(default=0)
    worker = models.CharField(max_length=120, default="", blank=True, help_text="Host and process that took it.")
    started_at = models.DateTimeField(null=True)
    until = models.DateTimeField(null=True, help_text="By when its worker must be done, or is taken for dead.")
    ended_at = models.DateTimeField(null=True)
    duration = models.DurationField(null=True, help_text="Of the last attempt.")
    result = models.TextField(default="", blank=True)
    error = models.TextField(default="", blank=True)

    class Meta:
        app_label = "ops"
        ordering = ("-slot", "-id")
        verbose_name = "run of a job"
        verbose_name_plural = "runs of jobs"
        constraints = (
            models.UniqueConstraint(fields=("job", "slot"), name="jobrun_one_per_slot"),
            models.CheckConstraint(condition=models.Q(state__in=State.values), name="jobrun_state"),
        )
        indexes = (
            models.Index(fields=("due_at",), condition=models.Q(state__in=("waiting", "running")), name="jobrun_open"),
            models.Index(fields=("ended_at",), name="jobrun_ended"),
        )

    def __str__(self) -> str:
        return f"{self.job.name} {self.slot:%Y-%m-%d %H:%M:%S}"
