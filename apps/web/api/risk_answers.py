"""What programs get of risk: limits, rules, breaches, measures; and whether trading is allowed."""

from typing import Any

from rest_framework import serializers

from apps.domain.restrictions import Scope, TradingState
from apps.domain.risk.words import Action
from apps.trading.models import Restriction, RiskLimit, RiskMetric, Violation
from apps.web.api.fields import Amount, Word
from apps.web.api.standing import BackupOut, LeaderOut, ProcessOut, QueueOut


class LimitOut(serializers.ModelSerializer[RiskLimit]):
    """One rule with its parameters, where it applies, and what a breach leads to."""

    scope = Word(Scope)
    action = Word(Action)
    profile = serializers.IntegerField(source="profile_id", allow_null=True, read_only=True)
    parameters = serializers.DictField(help_text="Those that differ from the rule's defaults.")

    class Meta:
        model = RiskLimit
        fields = ("id", "rule", "scope", "target", "profile", "parameters", "action", "enabled", "note")


class RuleOut(serializers.Serializer[Any]):
    """A rule that limits can be made of, with the JSON schema of its parameters."""

    name = serializers.CharField()
    description = serializers.CharField()
    continuous = serializers.BooleanField(help_text="Whether the monitor watches it, beside judging each entry.")
    parameters = serializers.DictField(help_text="A JSON schema.")


class ViolationOut(serializers.ModelSerializer[Violation]):
    """A limit that is broken, or was: since when, by how much, and what was done about it."""

    account = serializers.IntegerField(source="account_id", read_only=True)
    limit = serializers.IntegerField(source="limit_id", allow_null=True, read_only=True)
    scope = Word(Scope)
    action = Word(Action)

    class Meta:
        model = Violation
        fields = (
            "id",
            "account",
            "limit",
            "rule",
            "scope",
            "target",
            "number",
            "bound",
            "formula",
            "sentence",
            "action",
            "acted_at",
            "began_at",
            "seen_at",
            "ended_at",
        )


class MetricOut(serializers.ModelSerializer[RiskMetric]):
    """What an account was worth and risked at one instant."""

    account = serializers.IntegerField(source="account_id", read_only=True)
    equity = Amount()
    cash = Amount()
    gross = Amount(help_text="What all positions are worth, longs and shorts added.")
    net = Amount(help_text="Longs less shorts.")
    peak = Amount(help_text="The highest equity so far.")
    day_start = Amount(help_text="The equity at the start of the UTC day.")
    lowest = Amount(allow_null=True, help_text="The lowest equity of that minute.")
    drawdown = Amount(help_text="The loss from the peak, as a rate.")

    class Meta:
        model = RiskMetric
        fields = (
            "account",
            "at",
            "equity",
            "cash",
            "gross",
            "net",
            "peak",
            "day_start",
            "lowest",
            "drawdown",
            "open_positions",
        )


class RestrictionOut(serializers.ModelSerializer[Restriction]):
    """Where trading is restricted, by whom and why."""

    scope = Word(Scope)
    state = Word(TradingState)

    class Meta:
        model = Restriction
        fields = ("scope", "target", "state", "reason", "actor", "since")


class TradingStateOut(serializers.Serializer[Any]):
    """Whether trading is allowed: the state of the whole site, and every restriction you may see."""

    state = Word(TradingState, help_text="Of the whole site.")
    restrictions = RestrictionOut(many=True)


class StateSetOut(TradingStateOut):
    """The same after it was set, and how many exits were asked for."""

    exits = serializers.IntegerField(help_text="0 unless `flatten` was asked for.")


class CheckOut(serializers.Serializer[Any]):
    """One thing the site needs, and whether it is there."""

    name = serializers.CharField()
    ok = serializers.BooleanField()
    seen = serializers.CharField(allow_null=True, help_text="What was seen; for staff.")


class FeedOut(serializers.Serializer[Any]):
    """How a feed is doing."""

    name = serializers.CharField()
    state = serializers.CharField()
    reason = serializers.CharField()
    since = serializers.DateTimeField()


class SystemOut(serializers.Serializer[Any]):
    """How the site is."""

    status = serializers.CharField(help_text="ok, or failing when a check is red.")
    at = serializers.DateTimeField()
    live_trading = serializers.BooleanField(help_text="The site's switch for real money.")
    trading = Word(TradingState, help_text="Of the whole site.")
    exits_waiting = serializers.IntegerField()
    oldest_exit_at = serializers.DateTimeField(allow_null=True)
    checks = CheckOut(many=True)
    feeds = FeedOut(many=True)
    processes = ProcessOut(many=True)
    leaders = LeaderOut(many=True)
    queues = QueueOut(many=True, allow_null=True, help_text="null when the broker does not answer or is not Redis.")
    backup = BackupOut(allow_null=True)
