"""One backtest that was asked for, is being computed, or has its result."""

from django.conf import settings
from django.db import models

from apps.market.models import Instrument
from apps.strategies.models import Strategy


class Run(models.Model):
    """One strategy with one set of parameters and conventions on one piece of history.

    The row is the truth about who computes it: it is claimed, kept alive and settled by UPDATEs that check `state` and
    `attempt`, so that a message that comes twice, or a process that was given up too early, changes nothing.
    """

    class State(models.TextChoices):
        """How far it is."""

        QUEUED = "queued", "waits for a worker"
        RUNNING = "running", "is being computed"
        DONE = "done", "has its result"
        FAILED = "failed", "could not be computed; `error` says why"
        CANCELLED = "cancelled", "a person changed their mind"

    class Kind(models.TextChoices):
        """What it was made for."""

        SINGLE = "single", "one backtest"
        TRIAL = "trial", "one trial of a search"
        SEGMENT = "segment", "one window of a walk forward"
        WALK_FORWARD = "walkforward", "the tests of a walk forward as one account"

    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.SINGLE)
    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    strategy = models.ForeignKey(Strategy, on_delete=models.SET_NULL, null=True, blank=True, related_name="runs")
    plugin = models.CharField(max_length=64, help_text="The name of the strategy plug-in.")
    code_hash = models.CharField(max_length=64, help_text="SHA-256 of the plug-in and of the modules it shares.")
    parameters = models.JSONField(default=dict, blank=True, help_text="Every parameter with its value.")
    conventions = models.JSONField(default=dict, blank=True, help_text="How orders fill and what they cost.")
    seed = models.BigIntegerField(default=0)

    data = models.JSONField(default=dict, help_text="Where the candles are read: files or instruments.")
    source = models.CharField(max_length=300, help_text="The same for people.")
    instrument = models.ForeignKey(Instrument, on_delete=models.SET_NULL, null=True, blank=True)
    bar_seconds = models.PositiveIntegerField(null=True, blank=True)
    since = models.DateTimeField(null=True, blank=True, help_text="The first bar of the data.")
    until = models.DateTimeField(null=True, blank=True, help_text="The last bar of the data.")
    bars = models.PositiveIntegerField(default=0)
    data_hash = models.CharField(max_length=64, default="", blank=True, help_text="SHA-256 of the candles.")
    key = models.CharField(
        max_length=64, default="", blank=True, help_text="SHA-256 of all that determines the result; known once loaded."
    )

    progress = models.FloatField(default=0.0, help_text="0 to 1.")
    stage = models.CharField(max_length=60, default="", blank=True, help_text="What is being done.")
    error = models.TextField(default="", blank=True)
    attempt = models.PositiveSmallIntegerField(default=0, help_text="How often it was claimed; fences a late worker.")
    worker = models.CharField(max_length=120, default="", blank=True)
    beat_at = models.DateTimeField(null=True, blank=True, help_text="The last sign of life of who computes it.")

    summary = models.JSONField(default=dict, blank=True, help_text="The four figures everybody asks for first.")
    statistics = models.JSONField(default=dict, blank=True)
    critique = models.JSONField(default=list, blank=True)
    bounds = models.JSONField(default=dict, blank=True, help_text="Stop first and target first.")
    rejected = models.JSONField(default=dict, blank=True, help_text="Entries that were skipped, by reason.")
    open = models.JSONField(default=list, blank=True, help_text="What was held after the last bar.")
    trades = models.BinaryField(null=True, blank=True, help_text="The trades as compressed numpy arrays.")
    equity = models.BinaryField(null=True, blank=True, help_text="Time and equity per bar, the same way.")

    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    made_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(state__in=["queued", "running", "done", "failed", "cancelled"]),
                name="run_state_known",
            ),
            models.CheckConstraint(
                condition=models.Q(progress__gte=0.0, progress__lte=1.0), name="run_progress_is_a_share"
            ),
            models.CheckConstraint(
                condition=~models.Q(state="done") | models.Q(trades__isnull=False, equity__isnull=False),
                name="run_done_has_its_result",
            ),
        )
        indexes = (
            models.Index(fields=("key",), name="run_key"),
            models.Index(
                fields=("state", "beat_at"),
                name="run_unfinished",
                condition=models.Q(state__in=["queued", "running"]),
            ),
            models.Index(fields=("strategy", "-id"), name="run_of_strategy"),
        )

    def __str__(self) -> str:
        return f"run {self.pk}: {self.plugin} on {self.source}"
