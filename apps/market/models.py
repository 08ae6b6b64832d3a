"""What can be traded, its latest price, and how its feed is doing."""

from decimal import Decimal

from django.core.validators import RegexValidator
from django.db import models

from apps.domain import numbers


def positive(field: str, below: Decimal = numbers.LIMIT) -> models.Q:
    """Return a check that a column is above zero and sane; `> 0` alone lets NaN pass, which PostgreSQL sorts last."""
    return models.Q(**{f"{field}__gt": 0, f"{field}__lt": below})


class PriceField(models.DecimalField):  # type: ignore[type-arg]
    """A price, quantity or amount: NUMERIC(28,12)."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **{"max_digits": 28, "decimal_places": 12, **kwargs})  # type: ignore[arg-type]


class Instrument(models.Model):
    """Something with a price that positions can be held in."""

    symbol = models.CharField(
        max_length=32,
        unique=True,
        validators=[RegexValidator(r"^[A-Z0-9][A-Z0-9._/-]*$", "Use capitals, digits and - . _ / only, like BTC-USD.")],
        help_text="The venue's own name, like BTC-USD.",
    )
    feed = models.CharField(max_length=32, default="coinbase", help_text="The feed plug-in its prices come from.")
    base_currency = models.CharField(max_length=12)
    quote_currency = models.CharField(max_length=12)
    tick_size = PriceField(help_text="Prices are whole multiples of this.")
    lot_size = PriceField(help_text="Quantities are whole multiples of this.")
    min_quantity = PriceField(help_text="The smallest quantity of an order.")
    max_quantity = PriceField(default=Decimal(10) ** 12, help_text="The largest quantity of an order.")
    calendar = models.CharField(max_length=32, default="24/7", help_text="When it trades; 24/7 is always.")
    jump_band = models.DecimalField(
        max_digits=6,
        decimal_places=4,
        default=Decimal("0.2"),
        help_text="A print further than this rate from the last price needs confirmation by the next ones.",
    )
    shard = models.PositiveSmallIntegerField(default=0, help_text="The listener shard that watches it.")
    enabled = models.BooleanField(default=True, help_text="Off: no prices, no new positions; exits go on.")

    class Meta:
        ordering = ("symbol",)
        constraints = (
            *(
                models.CheckConstraint(condition=positive(field), name=f"instrument_{field}_positive")
                for field in ("tick_size", "lot_size", "min_quantity", "max_quantity")
            ),
            models.CheckConstraint(condition=positive("jump_band", Decimal(10)), name="instrument_jump_band_positive"),
        )

    def __str__(self) -> str:
        return self.symbol


class Quote(models.Model):
    """The latest price of an instrument, conflated: written a few times a second by the leading listener."""

    instrument = models.OneToOneField(Instrument, on_delete=models.CASCADE, primary_key=True)
    price = PriceField()
    bid = PriceField(null=True)
    ask = PriceField(null=True)
    low = PriceField(help_text="The lowest price since the quote before this one.")
    high = PriceField(help_text="The highest price since the quote before this one.")
    trade_id = models.BigIntegerField(default=0, help_text="The venue's number of the last trade it contains.")
    at = models.DateTimeField(help_text="When the venue traded it.")
    received_at = models.DateTimeField(help_text="When the listener received it.")
    heard_at = models.DateTimeField(help_text="When the feed last said anything about it, a heartbeat included.")
    epoch = models.BigIntegerField(default=0, help_text="The epoch of the listener that wrote it.")

    class Meta:
        constraints = (models.CheckConstraint(condition=positive("price"), name="quote_price_positive"),)

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.price}"


class FeedStatus(models.Model):
    """How the feed of one listener shard is doing, as its leader last said."""

    name = models.CharField(primary_key=True, max_length=64, help_text="Feed and shard: coinbase:0.")
    state = models.CharField(max_length=16)
    reason = models.CharField(max_length=300, default="", blank=True)
    since = models.DateTimeField()
    session = models.PositiveIntegerField(default=0)
    counters = models.JSONField(default=dict)

    class Meta:
        ordering = ("name",)
        verbose_name_plural = "feed statuses"

    def __str__(self) -> str:
        return f"{self.name} {self.state}"
