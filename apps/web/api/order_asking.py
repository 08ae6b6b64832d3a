"""What programs ask about orders: an order to place, to change, to take back, and filters of lists."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from apps.domain.orders import OrderKind, Purpose, TimeInForce
from apps.domain.reconciling import DiscrepancyKind, Resolution
from apps.domain.states import OrderStatus
from apps.web.api.asking import PositionIn
from apps.web.api.fields import Due, Id, Note, Number, Strict, Symbol, Word
from apps.web.api.market_asking import YesNo
from apps.web.problems import FieldRefused

_BRACKET = {
    "instrument": "BTC-USD",
    "side": "long",
    "quantity": "0.25",
    "kind": "limit",
    "limit_price": "61000.00",
    "tif": "gtc",
    "due_at": 3600,
    "stop_loss": "60000.00",
    "take_profit": "65000.00",
}
_MARKET = {"instrument": "BTC-USD", "side": "long", "quantity": "0.25", "trailing_stop": "1.5%"}


@extend_schema_serializer(
    examples=[
        OpenApiExample("A limit order with a bracket, for an hour", value=_BRACKET, request_only=True),
        OpenApiExample("At the market", value=_MARKET, request_only=True),
    ]
)
class OrderIn(PositionIn):
    """An order that enters; legs make it a bracket: the lot has them from its first fill on."""

    kind = Word(OrderKind, required=False, help_text="market if left out.")
    tif = Word(TimeInForce, required=False, help_text="How long it works; gtc if left out.")
    limit_price = Number(required=False, allow_null=True, help_text="limit, stop_limit: at this price or better.")
    stop_price = Number(required=False, allow_null=True, help_text="stop, stop_limit: wakes at this price.")
    expires_at = Due(required=False, allow_null=True, help_text="tif gtd: an instant, or whole seconds from now.")
    due_at = Due(required=False, allow_null=True, help_text="Taken back then unless it is filled.")


class OrderChangeIn(Strict):
    """What a working entry order shall become."""

    quantity = Number(required=False, help_text="The whole, fills included.")
    limit_price = Number(required=False)
    stop_price = Number(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a change that changes nothing. Raises FieldRefused."""
        if not attrs:
            raise FieldRefused("{}", "names nothing to change", f"name at least one of {', '.join(self.fields)}")
        return attrs


class TakingBackIn(Strict):
    """An order to take back."""

    note = Note(required=False, help_text="Why, for the record.")


class OrderFilter(Strict):
    """Which orders to list."""

    status = Word(OrderStatus, required=False)
    purpose = Word(Purpose, required=False)
    kind = Word(OrderKind, required=False)
    working = YesNo(required=False, help_text="true: those that have not ended.")
    instrument = Symbol(required=False)
    account = Id(required=False)
    position = Id(required=False)
    exit = Id(required=False)
    decision = Id(required=False)


class DecisionFilter(Strict):
    """Which decisions to list."""

    approved = YesNo(required=False)
    instrument = Symbol(required=False)
    account = Id(required=False)
    strategy = Id(required=False)
    signal = Id(required=False)
    position = Id(required=False)
    # The framework sets declared fields aside, so that this one does not hide its attribute of the same name.
    source = serializers.RegexField(  # type: ignore[assignment]  # a field, not the attribute
        r"^[a-z_]{1,16}\Z", required=False, help_text="signal, api, admin, amend, ..."
    )


class FillFilter(Strict):
    """Which fills to list."""

    instrument = Symbol(required=False)
    account = Id(required=False)
    position = Id(required=False)
    exit = Id(required=False)
    order = Id(required=False)


class LedgerFilter(Strict):
    """Which lines of the books to list."""

    account = Id(required=False)
    kind = serializers.RegexField(r"^[a-z_]{1,16}\Z", required=False, help_text="deposit, open, close, fee, dust, ...")
    currency = serializers.RegexField(r"^[A-Z0-9]{1,12}\Z", required=False)
    fill = Id(required=False)


class DiscrepancyFilter(Strict):
    """Which differences to list."""

    account = Id(required=False)
    kind = Word(DiscrepancyKind, required=False)
    resolution = Word(Resolution, required=False)
