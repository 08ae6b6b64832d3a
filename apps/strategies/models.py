"""Strategies as rows over plug-ins, and the signals they gave."""

from django.db import models

from apps.domain.backtests.gate import Stage
from apps.market.models import Instrument

STAGES = [(stage.value, stage.value) for stage in Stage]


class Strategy(models.Model):
    """One configured strategy: a plug-in, its parameters, and the instruments it watches.

    It is asked while it is `enabled` and its stage is paper or live. The stage changes through services only, by an
    UPDATE that checks the stage and the settings it was decided on.
    """

    name = models.CharField(max_length=80, unique=True)
    plugin = models.CharField(max_length=64, help_text="The name of the strategy plug-in.")
    parameters = models.JSONField(default=dict, blank=True, help_text="What differs from the plug-in's defaults.")
    bar_seconds = models.PositiveIntegerField(default=60, help_text="The length of a bar in seconds.")
    instruments = models.ManyToManyField(Instrument, blank=True)
    enabled = models.BooleanField(default=False, help_text="Ask it for signals, once its stage is paper or live.")

    stage = models.CharField(max_length=16, choices=STAGES, default=Stage.DRAFT, editable=False)
    paused_from = models.CharField(max_length=16, default="", blank=True, editable=False)
    proven = models.CharField(
        max_length=64,
        default="",
        blank=True,
        editable=False,
        help_text="Digest of the code and parameters that the stage rests on; empty: those of the next look.",
    )

    failures = models.PositiveSmallIntegerField(default=0, editable=False, help_text="Bars in a row that failed.")
    failed_bar_at = models.DateTimeField(null=True, blank=True, editable=False)
    busy_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Somebody waits for its answer; nobody else asks until then."
    )

    class Meta:
        ordering = ("name",)
        verbose_name_plural = "strategies"
        constraints = (
            models.CheckConstraint(
                condition=models.Q(stage__in=[stage.value for stage in Stage]), name="strategy_stage_known"
            ),
            models.CheckConstraint(condition=models.Q(bar_seconds__gt=0), name="strategy_bar_is_some_time"),
        )

    def __str__(self) -> str:
        return self.name


class Signal(models.Model):
    """What a strategy wants after one closed bar; one per strategy, instrument and bar, however often it is asked."""

    strategy = models.ForeignKey(Strategy, on_delete=models.CASCADE, related_name="signals")
    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE)
    bar_at = models.DateTimeField(help_text="When the bar began.")
    stance = models.SmallIntegerField(help_text="+1 long, 0 flat, -1 short.")
    weight = models.DecimalField(
        max_digits=9,
        decimal_places=8,
        null=True,
        blank=True,
        help_text="Target share of the equity, -1 to 1, if it gives one.",
    )
    price = models.DecimalField(max_digits=28, decimal_places=12, help_text="The close of the bar.")
    plan = models.JSONField(
        null=True, blank=True, help_text="Ways out it asks for: prices of stop_loss and take_profit, trailing distance."
    )
    reason = models.CharField(max_length=200, default="", blank=True)
    version = models.CharField(max_length=64, default="", blank=True, help_text="SHA-256 of the plug-in's code.")
    parameters = models.JSONField(default=dict, blank=True, help_text="Every parameter with its value then.")
    made_at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("strategy", "instrument", "bar_at"), name="signal_once_per_bar"),
            models.CheckConstraint(condition=models.Q(stance__in=[-1, 0, 1]), name="signal_stance_known"),
            models.CheckConstraint(
                # NaN and Infinity are no weights: NaN lies above every number here.
                condition=models.Q(weight__isnull=True) | models.Q(weight__gte=-1, weight__lte=1),
                name="signal_weight_is_a_share",
            ),
        )

    def __str__(self) -> str:
        return f"{self.strategy_id} {self.instrument_id} {self.bar_at:%H:%M:%S} {self.stance:+d}"
