"""Searches for parameters: what is searched, the candles it needs, and one row per set of parameters tried."""

from django.conf import settings
from django.db import models

from apps.backtests.models.runs import Run
from apps.market.models import Instrument
from apps.strategies.models import Strategy


class Dataset(models.Model):
    """Candles that came from a file, kept so that workers on other machines can read them; once per content."""

    data_hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of every number.")
    layout = models.JSONField(help_text="Names, bars and compressed lengths of the arrays, in the order of the bytes.")
    made_at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"candles {self.data_hash[:12]}"


class DatasetPart(models.Model):
    """A piece of the bytes of a dataset, small enough for one statement."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="parts")
    number = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        ordering = ("dataset", "number")
        constraints = (models.UniqueConstraint(fields=("dataset", "number"), name="dataset_part_once"),)

    def __str__(self) -> str:
        return f"{self.dataset_id}/{self.number}"


class Study(models.Model):
    """One search over the parameters of a strategy: a sweep over all bars, or a walk forward over many windows.

    Its trials are the truth about what is left to compute. Whoever finds none left decides, under the lock of this
    row, what comes next: more trials, or the result.
    """

    class Kind(models.TextChoices):
        """What is searched for."""

        SWEEP = "sweep", "the best parameters over all bars"
        WALK_FORWARD = "walkforward", "the best parameters of each window, tested on the bars after it"

    class State(models.TextChoices):
        """How far it is."""

        RUNNING = "running", "has trials to compute, or to think of"
        DONE = "done", "has its result"
        FAILED = "failed", "cannot go on; `error` says why"
        CANCELLED = "cancelled", "a person changed their mind; it can be resumed"

    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.SWEEP)
    state = models.CharField(max_length=16, choices=State.choices, default=State.RUNNING)
    strategy = models.ForeignKey(Strategy, on_delete=models.SET_NULL, null=True, blank=True, related_name="studies")
    plugin = models.CharField(max_length=64, help_text="The name of the strategy plug-in.")
    code_hash = models.CharField(max_length=64, help_text="SHA-256 of the plug-in and of the modules it shares.")
    space = models.JSONField(help_text="The values of each parameter that is searched.")
    search = models.CharField(max_length=16, help_text="grid, random or bayesian.")
    objective = models.CharField(max_length=32, help_text="The figure that says which trial is best.")
    least_trades = models.PositiveIntegerField(default=1, help_text="Closed trades that a trial needs to count.")
    wanted = models.PositiveIntegerField(help_text="Trials, in each window.")
    conventions = models.JSONField(help_text="How orders fill and what they cost.")
    seed = models.BigIntegerField(default=0)

    data = models.JSONField(default=dict, help_text="Where the candles are read: files or instruments.")
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, null=True, blank=True, related_name="studies")
    source = models.CharField(max_length=300, help_text="The same for people.")
    instrument = models.ForeignKey(Instrument, on_delete=models.SET_NULL, null=True, blank=True)
    bar_seconds = models.PositiveIntegerField()
    since = models.DateTimeField(help_text="The first bar of the data.")
    until = models.DateTimeField(help_text="The last bar of the data.")
    bars = models.PositiveIntegerField()
    data_hash = models.CharField(max_length=64, help_text="SHA-256 of the candles.")

    plan = models.JSONField(default=dict, blank=True, help_text="Lengths and mode of a walk forward.")
    windows = models.JSONField(help_text="Of each window: first bar to train, first to test, end.")
    counts = models.JSONField(default=dict, blank=True, help_text="Combinations refused by the strategy, or left out.")
    error = models.TextField(default="", blank=True)
    summary = models.JSONField(default=dict, blank=True, help_text="The result, once it is done.")
    run = models.ForeignKey(Run, on_delete=models.SET_NULL, null=True, blank=True, related_name="studies")

    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    made_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "studies"
        constraints = (
            models.CheckConstraint(
                condition=models.Q(state__in=["running", "done", "failed", "cancelled"]), name="study_state_known"
            ),
        )
        indexes = (
            models.Index(fields=("id",), name="study_unfinished", condition=models.Q(state="running")),
            models.Index(fields=("strategy", "-id"), name="study_of_strategy"),
        )

    def __str__(self) -> str:
        return f"study {self.pk}: {self.kind} of {self.plugin} on {self.source}"


class Trial(models.Model):
    """One set of parameters on the bars of one training window, computed once.

    It is claimed by an UPDATE that skips rows another worker holds, kept alive by beats, and settled by an UPDATE that
    checks `attempt`: a worker that was given up and wakes again changes nothing.
    """

    class State(models.TextChoices):
        """How far it is."""

        QUEUED = "queued", "waits for a worker"
        RUNNING = "running", "is being computed"
        DONE = "done", "has its figures"
        FAILED = "failed", "could not be computed; `error` says why"

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="trials")
    number = models.PositiveIntegerField(help_text="Counts from 0 through all windows.")
    window = models.PositiveSmallIntegerField(default=0)
    parameters = models.JSONField(help_text="The parameters that are searched, with their values.")
    key = models.CharField(max_length=64, help_text="SHA-256 of all that determines the figures.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    attempt = models.PositiveSmallIntegerField(default=0, help_text="How often it was claimed; fences a late worker.")
    worker = models.CharField(max_length=120, default="", blank=True)
    beat_at = models.DateTimeField(null=True, blank=True, help_text="The last sign of life of who computes it.")
    measures = models.JSONField(null=True, blank=True, help_text="The figures a search may look for.")
    error = models.TextField(default="", blank=True)
    reused = models.BooleanField(default=False, help_text="An earlier study had computed it.")
    results = models.PositiveSmallIntegerField(default=0, help_text="How often a result was written: once, if at all.")
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("study", "number")
        constraints = (
            models.UniqueConstraint(fields=("study", "number"), name="trial_number_once"),
            models.UniqueConstraint(fields=("study", "window", "key"), name="trial_once_per_window"),
            models.CheckConstraint(
                condition=models.Q(state__in=["queued", "running", "done", "failed"]), name="trial_state_known"
            ),
            models.CheckConstraint(
                condition=~models.Q(state="done") | models.Q(measures__isnull=False, finished_at__isnull=False),
                name="trial_done_has_figures",
            ),
            models.CheckConstraint(condition=models.Q(results__lte=1), name="trial_has_one_result"),
        )
        indexes = (
            models.Index(
                fields=("study", "attempt", "number"),
                name="trial_unfinished",
                condition=models.Q(state__in=["queued", "running"]),
            ),
            models.Index(fields=("key",), name="trial_computed", condition=models.Q(state="done")),
        )

    def __str__(self) -> str:
        return f"trial {self.number} of study {self.study_id}"
