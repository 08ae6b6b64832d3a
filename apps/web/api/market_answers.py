"""What programs get of market data; every number is a string of plain digits."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from rest_framework import serializers

from apps.market.cache import Candle, LatestQuote, ListedInstrument
from apps.market.store.tick_rows import TickRow
from apps.web.api.fields import Amount, Number


class MarketInstrumentOut(serializers.Serializer[ListedInstrument]):
    """Something with a price, and the rules of its prices, quantities and hours."""

    symbol = serializers.CharField()
    feed = serializers.CharField()
    fallback_feed = serializers.CharField(
        help_text="The feed to fall back to while the first is silent; empty for none."
    )
    shard = serializers.IntegerField(help_text="The listener that watches it.")
    base_currency = serializers.CharField()
    quote_currency = serializers.CharField()
    tick_size = Number()
    lot_size = Number()
    min_quantity = Number()
    max_quantity = Number()
    calendar = serializers.CharField()
    jump_band = Number()
    enabled = serializers.BooleanField()


class MarketQuoteOut(serializers.Serializer[LatestQuote]):
    """The latest price; `spread` is null where the venue gives no two sides."""

    instrument = serializers.CharField()
    price = Number()
    bid = Number(allow_null=True)
    ask = Number(allow_null=True)
    spread = serializers.SerializerMethodField()
    trade_id = serializers.IntegerField()
    at = serializers.DateTimeField()
    received_at = serializers.DateTimeField()
    heard_at = serializers.DateTimeField()
    feed = serializers.CharField(help_text="The feed it came from; the fallback's while the first is silent.")
    fresh = serializers.SerializerMethodField()

    def get_spread(self, quote: LatestQuote) -> str | None:
        """Return ask less bid."""
        if quote.bid is None or quote.ask is None:
            return None
        return Amount().to_representation(quote.ask - quote.bid)

    def get_fresh(self, quote: LatestQuote) -> bool:
        """Say whether it looks recent enough to open on; the service that opens looks for itself."""
        now: datetime = self.context.get("now") or timezone.now()
        return now - max(quote.heard_at, quote.received_at) <= settings.QUOTE_STALE_AFTER


class CandleOut(serializers.Serializer[Candle]):
    """One candle; `trades` is 0 where the venue does not say, `closed` false while its time is not over."""

    at = serializers.DateTimeField(help_text="Its start.")
    open = Number()
    high = Number()
    low = Number()
    close = Number()
    volume = Number(above_zero=False)
    trades = serializers.IntegerField()
    closed = serializers.BooleanField()


class TradeOut(serializers.Serializer[TickRow]):
    """One print of the venue."""

    trade_id = serializers.IntegerField(help_text="The venue's number; negative where it gives none.")
    at = serializers.DateTimeField()
    price = Number()
    size = Number(above_zero=False)
    side = serializers.CharField(help_text="The taker's side; empty where unknown.")
    received_at = serializers.DateTimeField()
    refilled = serializers.BooleanField(help_text="It was asked for later, over REST.")


class CandlePageOut(serializers.Serializer[Any]):
    """A window of candles; `next` goes on into the past and is null at the end."""

    instrument = serializers.CharField()
    timeframe = serializers.CharField()
    next = serializers.DictField(child=serializers.CharField(), allow_null=True)
    results = CandleOut(many=True)


class TradePageOut(serializers.Serializer[Any]):
    """Trades in order; `next` goes on from the last one and is null at the end."""

    instrument = serializers.CharField()
    next = serializers.DictField(child=serializers.CharField(), allow_null=True)
    results = TradeOut(many=True)
