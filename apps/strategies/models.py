"""Strategies as rows over plug-ins, and the signals they gave."""

from django.db import models

from apps.market.models import Instrument


class Strategy(models.Model):
    """One configured strategy: a plug-in, its parameters, and the instruments it watches."""

    name = models.CharField(max_length=80, unique=True)
    plugin = models.CharField(max_length=64, help_text="The name of the strategy plug-in.")
    parameters = models.JSONField(default=dict, blank=True, help_text="What differs from the plug-in's defaults.")
    bar_seconds = models.PositiveIntegerField(default=60, help_text="The length of a bar in seconds.")
    instruments = models.ManyToManyField(Instrument, blank=True)
    enabled = models.BooleanField(default=False)

    class Meta:
        ordering = ("name",)
        verbose_name_plural = "strategies"

    def __str__(self) -> str:
        return self.name


class Signal(models.Model):
    """What a strategy wants after one closed bar; one per strategy, instrument and bar, however often it is asked."""

    strategy = models.ForeignKey(Strategy, on_delete=models.CASCADE, related_name="signals")
    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE)
    bar_at = models.DateTimeField(help_text="When the bar began.")
    stance = models.SmallIntegerField(help_text="+1 long, 0 flat, -1 short.")
    price = models.DecimalField(max_digits=28, decimal_places=12, help_text="The close of the bar.")
    reason = models.CharField(max_length=200, default="", blank=True)
    made_at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("strategy", "instrument", "bar_at"), name="signal_once_per_bar"),
        )

    def __str__(self) -> str:
        return f"{self.strategy_id} {self.instrument_id} {self.bar_at:%H:%M:%S} {self.stance:+d}"
