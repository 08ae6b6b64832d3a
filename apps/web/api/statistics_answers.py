"""What programs get of figures: closed lots, books, fees, latency, open lots, matchings, equity."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.domain.accounting import Method
from apps.domain.sides import Side
from apps.trading.statistics.lots import OpenLot
from apps.trading.statistics.rebuilding import Source
from apps.trading.statistics.selection import Period
from apps.trading.statistics.trades import Grouping
from apps.web.api.fields import Amount, Number, Word


class TradesOut(serializers.Serializer[Any]):
    """Closed lots of one quote currency that have something in common, after fees unless said otherwise."""

    currency = serializers.CharField()
    by = Word(Grouping)
    group = serializers.CharField(
        source="label", help_text="A symbol, a name, the first day of a period, a word; empty for all."
    )
    number = serializers.IntegerField(help_text="Of lots.")
    wins = serializers.IntegerField()
    losses = serializers.IntegerField()
    win_rate = Amount(help_text="0.5 is half of them.")
    gross_pnl = Amount(help_text="Before fees.")
    fees = Amount()
    total_pnl = Amount()
    average_pnl = Amount(help_text="Before fees.")
    expectancy = Amount(help_text="Average profit of a lot.")
    average_win = Amount(allow_null=True)
    average_loss = Amount(allow_null=True)
    largest_win = Amount(allow_null=True)
    largest_loss = Amount(allow_null=True)
    profit_factor = Amount(allow_null=True, help_text="Gains over losses; null without a loss.")
    average_holding_seconds = Amount()


class TakenOut(serializers.Serializer[Any]):
    """What the ledger says of one period; deposits are no profit."""

    currency = serializers.CharField()
    period = serializers.DateField(help_text="Its first UTC day.")
    realised_pnl = Amount(help_text="Before fees, lots that are still open in part included.")
    fees = Amount()
    net_pnl = Amount()
    deposits = Amount()


class FeesOut(serializers.Serializer[Any]):
    """What the fills of one period cost, by asset."""

    period = serializers.DateField()
    currency = serializers.CharField()
    asset = serializers.CharField()
    paid = Amount(help_text="In the asset.")
    value = Amount(help_text="In the quote currency.")
    fills = serializers.IntegerField()


class LatencyOut(serializers.Serializer[Any]):
    """Milliseconds from the price that triggered exits to the commit of the close."""

    reason = serializers.CharField(help_text="Empty: all but time stops.")
    exits = serializers.IntegerField()
    p50 = Amount()
    p90 = Amount()
    p99 = Amount()
    slowest = Amount()


class OpenOut(serializers.Serializer[Any]):
    """All open lots of one quote currency; `unpriced` ones are in no sum but that of the cost."""

    currency = serializers.CharField()
    lots = serializers.IntegerField()
    unpriced = serializers.IntegerField()
    cost = Amount()
    unrealised_pnl = Amount()
    oldest_quote = serializers.DateTimeField(allow_null=True)


class LotOut(serializers.Serializer[OpenLot]):
    """An open lot at the last price."""

    position = serializers.IntegerField()
    account = serializers.IntegerField()
    instrument = serializers.CharField()
    currency = serializers.CharField()
    strategy = serializers.CharField(help_text="Empty: opened by a person or a program.")
    side = Word(Side)
    quantity = Number()
    entry_price = Number()
    cost = Amount()
    fees = Amount()
    opened_at = serializers.DateTimeField()
    price = Number(allow_null=True)
    quoted_at = serializers.DateTimeField(allow_null=True)
    quote_age_seconds = serializers.SerializerMethodField()
    unrealised_pnl = Amount(allow_null=True, help_text="Before fees; null without a price.")

    @extend_schema_field({"type": "number", "nullable": True})
    def get_quote_age_seconds(self, lot: OpenLot) -> float | None:
        """Return how old the price is."""
        age = lot.quote_age(self.context.get("now") or timezone.now())
        return None if age is None else age.total_seconds()


class MatchedOut(serializers.Serializer[Any]):
    """What one method realised in one quote currency."""

    method = Word(Method)
    currency = serializers.CharField()
    disposals = serializers.IntegerField()
    realised_pnl = Amount(help_text="Before fees.")
    fees = Amount(help_text="Of purchase and sale.")
    gain = Amount(help_text="After fees.")
    open_cost = Amount()
    unrealised_pnl = Amount(allow_null=True, help_text="At the last quotes; null when one is missing or days end.")


class StatisticsOut(serializers.Serializer[Any]):
    """What trading brought. `matched` is null where there are too many `fills` to match while you wait."""

    at = serializers.DateTimeField()
    by = Word(Period)
    trades = TradesOut(many=True)
    books = TakenOut(many=True)
    fees = FeesOut(many=True)
    latency = LatencyOut(many=True)
    open = OpenOut(many=True)
    lots = LotOut(many=True)
    fills = serializers.IntegerField()
    matched = MatchedOut(many=True, allow_null=True)


class PointOut(serializers.Serializer[Any]):
    """What an account was worth at one instant."""

    at = serializers.DateTimeField()
    equity = Amount()
    deposits = Amount(help_text="Since the point before.")
    origin = Word(Source, source="source")
    growth = Amount(help_text="What 1 had become, deposits left out.")
    drawdown = Amount(help_text="Below the highest growth, as a rate.")


class EquityOut(serializers.Serializer[Any]):
    """An account through time, in its own currency."""

    account = serializers.IntegerField()
    currency = serializers.CharField()
    seconds = serializers.SerializerMethodField()
    max_drawdown = Amount(allow_null=True, help_text="The deepest fall, as a rate.")
    points = PointOut(many=True)
    trouble = serializers.CharField(help_text="Why candles are missing; empty when none are.")

    @extend_schema_field({"type": "integer", "description": "How far points lie apart."})
    def get_seconds(self, curve: Any) -> int:
        """Return how far points lie apart."""
        return int(curve.width.total_seconds())
