"""What can be traded, its latest price, and how its feed is doing."""

from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from apps.domain import exchanges, numbers


def positive(field: str, below: Decimal = numbers.LIMIT) -> models.Q:
    """Return a check that a column is above zero and sane; `> 0` alone lets NaN pass, which PostgreSQL sorts last."""
    return models.Q(**{f"{field}__gt": 0, f"{field}__lt": below})


def validate_calendar(name: str) -> None:
    """Refuse a calendar that is not known, offering the nearest names. Raises ValidationError."""
    try:
        exchanges.canonical(name)
    except exchanges.UnknownCalendar as error:
        raise ValidationError(str(error), code="unknown_calendar") from None


def positive_or_empty(field: str) -> models.Q:
    """Return a check that a column is empty, or above zero and sane."""
    return models.Q(**{f"{field}__isnull": True}) | positive(field)


class PriceField(models.DecimalField):  # type: ignore[type-arg]  # generic for checkers only
    """A price, quantity or amount: NUMERIC(28,12)."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **{"max_digits": 28, "decimal_places": 12, **kwargs})  # type: ignore[arg-type]  # generic for checkers only


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
    calendar = models.CharField(
        max_length=32,
        default="24/7",
        validators=[validate_calendar],
        help_text="When it trades: 24/7 is always, XNYS (or NYSE, NASDAQ) the hours of New York's exchanges.",
    )
    jump_band = models.DecimalField(
        max_digits=6,
        decimal_places=4,
        default=Decimal("0.2"),
        help_text="A print further than this rate from the last price needs confirmation by the next ones.",
    )
    fallback_feed = models.CharField(
        max_length=32, default="", blank=True, help_text="The feed plug-in to fall back to while the first is silent."
    )
    fallback_symbol = models.CharField(
        max_length=32, default="", blank=True, help_text="The product's name there; empty if it is the same."
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
            models.CheckConstraint(
                condition=models.Q(fallback_feed="") | ~models.Q(fallback_feed=models.F("feed")),
                name="instrument_falls_back_to_another_feed",
            ),
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
    feed = models.CharField(max_length=32, default="", help_text="The feed it came from.")

    class Meta:
        constraints = tuple(
            models.CheckConstraint(condition=positive_or_empty(field), name=f"quote_{field}_positive")
            for field in ("price", "bid", "ask", "low", "high")
        )

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


class TradingSession(models.Model):
    """One trading day of a market calendar, as the calendar library had it at the last refresh; times in UTC."""

    calendar = models.CharField(max_length=32, help_text="The calendar's own name: XNYS.")
    day = models.DateField(help_text="The exchange's own date of the session.")
    opens_at = models.DateTimeField()
    closes_at = models.DateTimeField()
    pre_opens_at = models.DateTimeField(null=True, help_text="When the pre-market opens, where there is one.")
    post_closes_at = models.DateTimeField(null=True, help_text="When the after-market closes, where there is one.")
    break_starts_at = models.DateTimeField(null=True, help_text="When the lunch break starts, where there is one.")
    break_ends_at = models.DateTimeField(null=True)
    early_close = models.BooleanField(default=False, help_text="It closes earlier than it usually does.")

    class Meta:
        ordering = ("calendar", "day")
        constraints = (
            models.UniqueConstraint(fields=("calendar", "day"), name="one_session_a_day"),
            models.CheckConstraint(
                condition=models.Q(opens_at__lt=models.F("closes_at")), name="session_opens_before_it_closes"
            ),
            models.CheckConstraint(
                condition=models.Q(pre_opens_at__isnull=True) | models.Q(pre_opens_at__lt=models.F("opens_at")),
                name="session_pre_market_before_the_open",
            ),
            models.CheckConstraint(
                condition=models.Q(post_closes_at__isnull=True) | models.Q(post_closes_at__gt=models.F("closes_at")),
                name="session_after_market_after_the_close",
            ),
            models.CheckConstraint(
                condition=models.Q(break_starts_at__isnull=True, break_ends_at__isnull=True)
                | models.Q(
                    break_starts_at__isnull=False,  # a comparison with NULL is unknown, and unknown passes a check
                    break_ends_at__isnull=False,
                    break_starts_at__gt=models.F("opens_at"),
                    break_starts_at__lt=models.F("break_ends_at"),
                    break_ends_at__lt=models.F("closes_at"),
                ),
                name="session_break_within_it",
            ),
        )

    def __str__(self) -> str:
        return f"{self.calendar} {self.day}"


class Coverage(models.Model):
    """A stretch of which every candle is known: it is stored, or nothing traded. Written after the candles."""

    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="+")
    timeframe = models.CharField(max_length=4, help_text="The length of one candle.")
    since = models.DateTimeField()
    until = models.DateTimeField(help_text="The first instant that is not known any more.")

    class Meta:
        verbose_name_plural = "coverage"
        constraints = (
            models.UniqueConstraint(fields=("instrument", "timeframe", "since"), name="coverage_once"),
            models.CheckConstraint(condition=models.Q(until__gt=models.F("since")), name="coverage_not_empty"),
        )

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.timeframe} {self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M}"


class Gap(models.Model):
    """A stretch of which something is missing, or was: found by comparing what is stored, mended by asking again."""

    class Kind(models.TextChoices):
        """What is missing."""

        TRADES = "trades"  # prints did not arrive; their candles, if stored, are not whole
        CANDLES = "candles"  # buckets have no candle, and nobody knows that nothing traded

    class State(models.TextChoices):
        """How it stands."""

        OPEN = "open"  # it is missing
        BRIDGED = "bridged"  # the prints are lost, but the candles of their time are whole: the venue's own
        FILLED = "filled"  # nothing is missing any more

    instrument = models.ForeignKey(Instrument, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=8, choices=Kind)
    since = models.DateTimeField(help_text="The last instant before it of which all is known.")
    until = models.DateTimeField(help_text="The first instant after it of which all is known.")
    first_id = models.BigIntegerField(null=True, help_text="The venue's number of the first missing trade, if known.")
    last_id = models.BigIntegerField(null=True, help_text="The venue's number of the last missing trade, if known.")
    state = models.CharField(max_length=8, choices=State, default=State.OPEN)
    why = models.CharField(max_length=300, default="", blank=True)
    attempts = models.PositiveIntegerField(default=0, help_text="How often the venue was asked in vain.")
    found_at = models.DateTimeField()
    tried_at = models.DateTimeField(null=True)
    filled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-since", "instrument_id")
        indexes = (
            models.Index(
                fields=("instrument", "kind", "since"), condition=~models.Q(state="filled"), name="gap_unfilled"
            ),
            models.Index(fields=("-since",), name="gap_newest"),
        )
        constraints = (
            models.CheckConstraint(condition=models.Q(until__gte=models.F("since")), name="gap_forward"),
            models.CheckConstraint(
                condition=models.Q(first_id__isnull=True, last_id__isnull=True)
                | models.Q(first_id__gt=0, last_id__gte=models.F("first_id")),
                name="gap_ids",
            ),
        )

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.kind} {self.since:%Y-%m-%d %H:%M:%S} to {self.until:%Y-%m-%d %H:%M:%S}"


class Inspection(models.Model):
    """What the last look at an instrument's stored prices found."""

    instrument = models.OneToOneField(Instrument, on_delete=models.CASCADE, primary_key=True)
    since = models.DateTimeField(help_text="Its first stored price.")
    until = models.DateTimeField(help_text="Up to where it was looked at.")
    looked_at = models.DateTimeField()
    odd_at = models.DateTimeField(null=True, help_text="When duplicates and outliers of the last day were counted.")
    duplicates = models.PositiveIntegerField(default=0, help_text="Trades of the last day stored more than once.")
    outliers = models.JSONField(default=list, help_text="Candles of the last day far away from their neighbours.")

    class Meta:
        verbose_name = "data quality"
        verbose_name_plural = "data quality"

    def __str__(self) -> str:
        return f"{self.instrument} up to {self.until:%Y-%m-%d %H:%M}"
