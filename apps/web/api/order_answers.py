"""What programs get of orders: how they stand, why, what was filled, what it did to the books."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.domain.orders import OrderKind, Purpose, TimeInForce
from apps.domain.reconciling import DiscrepancyKind, Resolution
from apps.domain.sides import Side
from apps.domain.states import OrderStatus
from apps.journal.models import Event
from apps.trading.models import Decision, Discrepancy, Fill, LedgerEntry, Order
from apps.web.api.answers import EventOut, PositionOut
from apps.web.api.fields import Amount, Number, Word


class FillOut(serializers.ModelSerializer[Fill]):
    """One execution: what was bought or sold, at what price and fee."""

    account = serializers.IntegerField(source="account_id", read_only=True)
    instrument = serializers.CharField(source="instrument.symbol", read_only=True)
    position = serializers.IntegerField(source="position_id", read_only=True)
    exit = serializers.IntegerField(source="exit_id", read_only=True, allow_null=True)
    order = serializers.IntegerField(source="order_id", read_only=True, allow_null=True)
    side = serializers.SerializerMethodField()
    quantity = Number()
    price = Number()
    fee = Amount(help_text="In the quote currency; negative is a rebate.")
    fee_paid = Amount(allow_null=True, help_text="In `fee_asset`; null where it was paid in the quote currency.")

    class Meta:
        model = Fill
        fields = (
            "id",
            "account",
            "instrument",
            "position",
            "exit",
            "order",
            "side",
            "quantity",
            "price",
            "fee",
            "fee_asset",
            "fee_paid",
            "at",
        )

    @extend_schema_field({"type": "string", "pattern": "^(buy|sell)$", "example": "buy"})
    def get_side(self, row: Fill) -> str:
        """Return what was done."""
        return "buy" if row.buy else "sell"


class LedgerOut(serializers.ModelSerializer[LedgerEntry]):
    """One line of the books; cash, holdings, fees, pnl and capital sum to zero."""

    account = serializers.IntegerField(source="account_id", read_only=True)
    fill = serializers.IntegerField(source="fill_id", read_only=True, allow_null=True)
    cash = Amount()
    holdings = Amount()
    fees = Amount()
    pnl = Amount(help_text="As booked: a profit is negative, for it is owed to the owner.")
    capital = Amount(help_text="As booked: a deposit is negative.")

    class Meta:
        model = LedgerEntry
        fields = ("id", "account", "kind", "currency", "fill", "cash", "holdings", "fees", "pnl", "capital", "at")


class OrderOut(serializers.ModelSerializer[Order]):
    """An order as it stands."""

    account = serializers.IntegerField(source="account_id", read_only=True)
    instrument = serializers.CharField(source="instrument.symbol", read_only=True)
    position = serializers.IntegerField(source="position_id", read_only=True, allow_null=True)
    exit = serializers.IntegerField(source="exit_id", read_only=True, allow_null=True)
    decision = serializers.IntegerField(
        source="decision_id", read_only=True, allow_null=True, help_text="Why it was made."
    )
    purpose = Word(Purpose)
    status = Word(OrderStatus)
    side = serializers.SerializerMethodField()
    kind = Word(OrderKind)
    tif = Word(TimeInForce)
    quantity = Number()
    filled = Number(above_zero=False)
    average_price = Amount(allow_null=True)
    limit_price = Number(allow_null=True)
    stop_price = Number(allow_null=True)
    amendment = serializers.DictField(
        child=serializers.CharField(), allow_null=True, help_text="What it shall become: not carried out yet."
    )

    class Meta:
        model = Order
        fields: tuple[str, ...] = (
            "id",
            "account",
            "instrument",
            "status",
            "purpose",
            "side",
            "kind",
            "tif",
            "quantity",
            "filled",
            "average_price",
            "limit_price",
            "stop_price",
            "position",
            "exit",
            "decision",
            "client_id",
            "venue_id",
            "attempt",
            "why",
            "actor",
            "amendment",
            "version",
            "created_at",
            "sent_at",
            "accepted_at",
            "cancel_asked_at",
            "ended_at",
            "due_at",
            "expires_at",
        )

    @extend_schema_field({"type": "string", "pattern": "^(buy|sell)$", "example": "buy"})
    def get_side(self, order: Order) -> str:
        """Return which way it trades."""
        return "buy" if order.buy else "sell"


class OrderInFull(OrderOut):
    """An order with what was filled of it and what the journal says, oldest first."""

    fills = FillOut(many=True)
    events = serializers.SerializerMethodField()

    class Meta(OrderOut.Meta):
        fields = (*OrderOut.Meta.fields, "fills", "events")

    @extend_schema_field(EventOut(many=True))
    def get_events(self, order: Order) -> Any:
        """Return its life as the journal has it."""
        rows = Event.objects.filter(subject=f"order:{order.pk}").order_by("id")[:500]
        return EventOut(rows, many=True).data


class EnteredOut(serializers.Serializer[Any]):
    """What a wish to enter led to: an order, or on an account that fills by itself a position at once."""

    order = OrderOut(allow_null=True)
    position = PositionOut(allow_null=True)


class VerdictOut(serializers.Serializer[Any]):
    """What one limit said."""

    rule = serializers.CharField()
    allowed = serializers.BooleanField()
    number = serializers.CharField(help_text="What the rule saw.")
    limit = serializers.CharField(help_text="What it allows.")
    formula = serializers.CharField()
    sentence = serializers.CharField()
    limit_id = serializers.IntegerField()
    scope = serializers.CharField()
    target = serializers.IntegerField()


class DecisionOut(serializers.ModelSerializer[Decision]):
    """A wish to enter and what came of it: why, or why not."""

    account = serializers.IntegerField(source="account_id", read_only=True)
    instrument = serializers.CharField(source="instrument.symbol", read_only=True)
    strategy = serializers.IntegerField(source="strategy_id", read_only=True, allow_null=True)
    signal = serializers.IntegerField(source="signal_id", read_only=True, allow_null=True)
    position = serializers.IntegerField(source="position_id", read_only=True, allow_null=True)
    orders = serializers.SerializerMethodField()
    side = Word(Side)
    quantity = Number(above_zero=False)
    price = Number(allow_null=True)
    verdicts = VerdictOut(many=True)

    class Meta:
        model = Decision
        fields = (
            "id",
            "account",
            "instrument",
            "approved",
            "reason",
            "side",
            "quantity",
            "price",
            "strategy",
            "signal",
            "position",
            "orders",
            "verdicts",
            "source",
            "actor",
            "at",
        )

    @extend_schema_field({"type": "array", "items": {"type": "integer"}})
    def get_orders(self, row: Decision) -> list[int]:
        """Return the orders it led to."""
        return [order.pk for order in row.orders.all()]


class DiscrepancyOut(serializers.ModelSerializer[Discrepancy]):
    """One difference between a venue and our books; a person resolves it on the site's pages."""

    account = serializers.IntegerField(source="account_id", read_only=True)
    kind = Word(DiscrepancyKind)
    resolution = Word(Resolution)

    class Meta:
        model = Discrepancy
        fields = (
            "id",
            "account",
            "kind",
            "subject",
            "ours",
            "theirs",
            "resolution",
            "found_at",
            "seen_at",
            "resolved_at",
            "actor",
            "reason",
        )
