"""What programs get: positions, exits, accounts, instruments, quotes, events, and problems."""

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.domain import numbers
from apps.domain.legs import ExitReason, LegKind
from apps.domain.sides import Side
from apps.domain.states import ExitStatus, LegStatus, PositionStatus
from apps.journal.models import Event
from apps.market import selectors as market
from apps.market.models import Instrument, Quote
from apps.trading import selectors
from apps.trading.models import Account, Exit, ExitLeg, Position
from apps.web.api.fields import Amount, Number, Trail, TrailField, Word

_PRICE_STEP = Decimal(1).scaleb(-numbers.MAX_DECIMALS)


class LegOut(serializers.ModelSerializer[ExitLeg]):
    """One way out of a position; an amendment cancels it and makes a new one."""

    kind = Word(LegKind)
    status = Word(LegStatus)
    fraction = Number()
    level = Number(allow_null=True)
    activation = Number(allow_null=True)
    trail = serializers.SerializerMethodField()

    class Meta:
        model = ExitLeg
        fields = ("id", "kind", "status", "fraction", "level", "activation", "trail", "due_at")

    @extend_schema_field({"type": "string", "nullable": True, "example": "1.5%"})
    def get_trail(self, leg: ExitLeg) -> str | None:
        """Return the distance of a trailing stop as it is asked for."""
        if leg.trail is None:
            return None
        return TrailField().to_representation(Trail(distance=leg.trail, is_rate=leg.trail_is_rate))


class PositionExitOut(serializers.ModelSerializer[Exit]):
    """One exit of a position, with every instant on its way from the tick to the commit."""

    status = Word(ExitStatus)
    reason = Word(ExitReason)
    leg = serializers.IntegerField(source="leg_id", allow_null=True, read_only=True)
    quantity = Number(allow_null=True)
    trigger_price = Number(allow_null=True)
    fill_price = Number(allow_null=True)
    fee = Amount(allow_null=True)
    pnl = Amount(allow_null=True)
    claimed_at = serializers.DateTimeField(source="drain.claimed_at", default=None, allow_null=True, read_only=True)
    committed_at = serializers.DateTimeField(source="drain.committed_at", default=None, allow_null=True, read_only=True)
    tick_to_close_ms = serializers.SerializerMethodField()

    class Meta:
        model = Exit
        fields: tuple[str, ...] = (
            "id",
            "leg",
            "reason",
            "status",
            "source",
            "actor",
            "note",
            "trigger_price",
            "quantity",
            "fill_price",
            "fee",
            "pnl",
            "late",
            "venue_at",
            "tick_at",
            "seen_at",
            "recorded_at",
            "claimed_at",
            "closed_at",
            "committed_at",
            "tick_to_close_ms",
        )

    def get_tick_to_close_ms(self, exit_: Exit) -> float | None:
        """Return milliseconds from the arrival of the price to the commit of the close."""
        return selectors.tick_to_close_ms(exit_)


class ExitOut(PositionExitOut):
    """One exit, with the position it leaves."""

    position = serializers.IntegerField(source="position_id", read_only=True)
    account = serializers.IntegerField(source="position.account_id", read_only=True)
    instrument = serializers.CharField(source="position.instrument.symbol", read_only=True)

    class Meta(PositionExitOut.Meta):
        fields = ("id", "position", "account", "instrument", *PositionExitOut.Meta.fields[1:])


class PositionOut(serializers.ModelSerializer[Position]):
    """A position with its ways out and how it was left."""

    account = serializers.IntegerField(source="account_id", read_only=True)
    instrument = serializers.CharField(source="instrument.symbol", read_only=True)
    status = Word(PositionStatus)
    side = Word(Side)
    quantity = Number()
    remaining = Number(above_zero=False)
    entry_price = Number()
    exit_reason = serializers.SerializerMethodField()
    exit_price = serializers.SerializerMethodField()
    realised_pnl = Amount(help_text="Profit taken, before fees, in quote currency.")
    fees = Amount(help_text="In quote currency.")
    tick_to_close_ms = serializers.SerializerMethodField()
    legs = LegOut(many=True)
    exits = PositionExitOut(many=True)

    class Meta:
        model = Position
        fields = (
            "id",
            "status",
            "account",
            "instrument",
            "side",
            "quantity",
            "remaining",
            "entry_price",
            "opened_at",
            "closed_at",
            "exit_reason",
            "exit_price",
            "realised_pnl",
            "fees",
            "tick_to_close_ms",
            "legs",
            "exits",
        )

    @extend_schema_field(Word(ExitReason, allow_null=True))
    def get_exit_reason(self, position: Position) -> str | None:
        """Return why it was left; null while it is held."""
        return position.exit_reason or None

    @extend_schema_field({"type": "string", "nullable": True, "example": "60000"})
    def get_exit_price(self, position: Position) -> str | None:
        """Return the average price of its exit fills; null while nothing was left."""
        price = position.exit_price
        return None if price is None else numbers.plain(price.quantize(_PRICE_STEP, ROUND_HALF_EVEN))

    def get_tick_to_close_ms(self, position: Position) -> float | None:
        """Return the latency of the exit that closed it, in milliseconds."""
        closing = [e for e in position.exits.all() if e.pk == position.last_exit_id]
        return selectors.tick_to_close_ms(closing[0]) if closing else None


class ClosingOut(serializers.Serializer[Any]):
    """The exit that a request to close made; follow it at /api/v1/exits/{id}."""

    id = serializers.IntegerField(help_text="Of the exit.")
    status = Word(ExitStatus)
    position = PositionOut()


class BalanceOut(serializers.Serializer[selectors.Balance]):
    """What an account has in one currency; pnl and deposits are positive when the owner gained or paid in."""

    currency = serializers.CharField()
    cash = Amount()
    holdings = Amount(help_text="Open positions at cost, shorts negative.")
    fees = Amount()
    pnl = Amount(help_text="Profit taken, before fees.")
    deposits = Amount()
    unrealised_pnl = Amount(allow_null=True, help_text="At the latest quotes; null when one is missing.")
    equity = Amount(allow_null=True, help_text="Cash and open positions at the latest quotes.")


class AccountOut(serializers.ModelSerializer[Account]):
    """An account and what its books say, per currency."""

    owner = serializers.CharField(source="owner.username", read_only=True)
    fee_rate = Amount()
    slippage_rate = Amount()
    balances = serializers.SerializerMethodField()

    class Meta:
        model = Account
        fields = ("id", "name", "owner", "broker", "currency", "fee_rate", "slippage_rate", "opened_at", "balances")

    @extend_schema_field(BalanceOut(many=True))
    def get_balances(self, account: Account) -> Any:
        """Return the balances that the view read for all accounts at once."""
        return BalanceOut(self.context["balances"].get(account.pk, []), many=True).data


class InstrumentOut(serializers.ModelSerializer[Instrument]):
    """Something positions can be held in, with the steps and limits of its prices and quantities."""

    tick_size = Number()
    lot_size = Number()
    min_quantity = Number()
    max_quantity = Number()

    class Meta:
        model = Instrument
        fields = (
            "symbol",
            "feed",
            "base_currency",
            "quote_currency",
            "tick_size",
            "lot_size",
            "min_quantity",
            "max_quantity",
            "calendar",
            "enabled",
        )


class QuoteOut(serializers.ModelSerializer[Quote]):
    """The latest price of an instrument; positions open only on a fresh one."""

    instrument = serializers.CharField(source="instrument.symbol", read_only=True)
    price = Number()
    bid = Number(allow_null=True)
    ask = Number(allow_null=True)
    fresh = serializers.SerializerMethodField()

    class Meta:
        model = Quote
        fields = ("instrument", "price", "bid", "ask", "trade_id", "at", "received_at", "heard_at", "fresh")

    def get_fresh(self, quote: Quote) -> bool:
        """Say whether positions may be opened on it."""
        now: datetime = self.context.get("now") or timezone.now()
        return market.is_fresh(quote, now)


class EventOut(serializers.ModelSerializer[Event]):
    """One fact from the journal."""

    account = serializers.IntegerField(source="account_id", allow_null=True, read_only=True)

    class Meta:
        model = Event
        fields = ("id", "kind", "at", "account", "subject", "actor", "payload")


class ProblemErrorOut(serializers.Serializer[Any]):
    """One field that is wrong."""

    field = serializers.CharField()
    value = serializers.CharField(help_text="What it held, shortened.")
    rule = serializers.CharField(help_text="The rule it breaks.")
    remedy = serializers.CharField(help_text="What to do.")


class ProblemOut(serializers.Serializer[Any]):
    """Why a request was not carried out (RFC 9457); then nothing was stored."""

    # The framework sets declared fields aside, so that this one does not hide its attribute of the same name.
    type = serializers.CharField(help_text="What kind of problem: urn:tradingsite:problem:invalid, ...")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = ProblemErrorOut(many=True)  # type: ignore[assignment]  # a field, not DRF's property


class LeavingProblemOut(ProblemOut):
    """Somebody asked before: the id of the exit that is closing, or closed, the position."""

    exit_id = serializers.IntegerField(required=False, allow_null=True)
