"""What programs get of strategies, their signals, and backtests."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.backtests.models import Run
from apps.domain.backtests.gate import Stage
from apps.strategies.models import Signal, Strategy
from apps.web.api.fields import Amount, Number, Word


class PluginOut(serializers.Serializer[Any]):
    """A plug-in that strategies are made of, with the JSON schema of its parameters."""

    name = serializers.CharField()
    description = serializers.CharField()
    parameters = serializers.DictField(help_text="A JSON schema.")


class StrategyOut(serializers.ModelSerializer[Strategy]):
    """A configured strategy."""

    stage = Word(Stage)
    parameters = serializers.DictField(help_text="Those that differ from the plug-in's defaults.")
    instruments = serializers.SerializerMethodField()

    class Meta:
        model = Strategy
        fields = (
            "id",
            "name",
            "plugin",
            "parameters",
            "bar_seconds",
            "instruments",
            "stage",
            "paused_from",
            "enabled",
            "failures",
        )

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_instruments(self, row: Strategy) -> list[str]:
        """Return the symbols it watches."""
        return [instrument.symbol for instrument in row.instruments.all()]


class SignalOut(serializers.ModelSerializer[Signal]):
    """What a strategy wanted after one closed bar."""

    strategy = serializers.IntegerField(source="strategy_id", read_only=True)
    instrument = serializers.CharField(source="instrument.symbol", read_only=True)
    stance = serializers.IntegerField(min_value=-1, max_value=1, help_text="+1 long, 0 flat, -1 short.")
    weight = Amount(allow_null=True, help_text="Target share of the equity, -1 to 1.")
    price = Number(help_text="The close of the bar.")
    plan = serializers.DictField(allow_null=True, help_text="Ways out it asks for.")

    class Meta:
        model = Signal
        fields = ("id", "strategy", "instrument", "bar_at", "stance", "weight", "price", "plan", "reason", "made_at")


class RunOut(serializers.ModelSerializer[Run]):
    """A backtest: what was asked, how far it is, and the figures everybody asks for first."""

    state = serializers.ChoiceField(Run.State.choices)
    kind = serializers.ChoiceField(Run.Kind.choices)
    strategy = serializers.IntegerField(source="strategy_id", allow_null=True, read_only=True)
    parameters = serializers.DictField()
    summary = serializers.DictField(help_text="final_equity, closed_trades, max_drawdown_pct, win_rate_pct.")

    class Meta:
        model = Run
        fields: tuple[str, ...] = (
            "id",
            "state",
            "progress",
            "stage",
            "error",
            "kind",
            "strategy",
            "plugin",
            "parameters",
            "source",
            "bar_seconds",
            "since",
            "until",
            "bars",
            "summary",
            "made_at",
            "started_at",
            "finished_at",
        )


class RunResultOut(RunOut):
    """A backtest with its result; empty until it is done."""

    conventions = serializers.DictField()
    statistics = serializers.DictField()
    critique = serializers.ListField(child=serializers.DictField())
    bounds = serializers.DictField(help_text="Stop first and target first.")
    rejected = serializers.DictField(help_text="Entries that were skipped, by reason.")
    open = serializers.ListField(child=serializers.DictField(), help_text="What was held after the last bar.")

    class Meta(RunOut.Meta):
        fields = (
            *RunOut.Meta.fields,
            "conventions",
            "statistics",
            "critique",
            "bounds",
            "rejected",
            "open",
            "code_hash",
            "data_hash",
        )


class CurveOut(serializers.Serializer[Any]):
    """The equity of a finished backtest: its first, its last, and evenly chosen bars between them."""

    bars = serializers.IntegerField(help_text="How many there were.")
    at = serializers.ListField(child=serializers.IntegerField(), help_text="Seconds since 1970, UTC.")
    value = serializers.ListField(child=serializers.FloatField(), help_text="The equity after that bar.")


class ComparedOut(serializers.Serializer[Any]):
    """Finished backtests side by side: one row per figure, one value per run."""

    runs = RunOut(many=True)
    figures = serializers.DictField(child=serializers.ListField(child=serializers.FloatField(allow_null=True)))
