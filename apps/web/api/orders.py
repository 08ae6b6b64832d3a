"""Orders over the API: place, list, look at, change, take back."""

import re
from typing import Any, Final

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.access.permissions import actor_of
from apps.domain.errors import Problem, Refused
from apps.domain.states import ENDED_ORDERS
from apps.trading import selectors
from apps.trading.models import Order
from apps.trading.services import ordering
from apps.trading.services.entering import Entered
from apps.web.api import placing
from apps.web.api.answers import PositionOut
from apps.web.api.described import READING, WRITING, answers
from apps.web.api.order_answers import EnteredOut, OrderInFull, OrderOut
from apps.web.api.order_asking import OrderChangeIn, OrderFilter, OrderIn, TakingBackIn
from apps.web.api.views import Door, Listing

KEY: Final = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Your own name for this request, at most 64 characters: sent again, it enters nothing new.",
)
_MATCH: Final = OpenApiParameter(
    "If-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description='The ETag of the order you looked at, like "7"; if it has changed since, the answer is 412.',
)
_TAG = re.compile(r'"?([0-9]{1,9})"?')


class Orders(Listing):
    """Place and list orders."""

    queryset = Order.objects.none()
    serializer_class = OrderOut
    filter_serializer = OrderFilter
    columns = {"instrument": "instrument__symbol"}
    rights = {"POST": "trading.add_order"}

    def filtered(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return the orders asked for; `working` stands for several statuses."""
        given = self.given()
        working = given.pop("working", None)
        if working is not None:
            rows = rows.exclude(status__in=ENDED_ORDERS) if working else rows.filter(status__in=ENDED_ORDERS)
        return rows.filter(**{self.columns.get(name, name): value for name, value in given.items()})

    @extend_schema(
        operation_id="orders_list",
        summary="List orders, newest first",
        parameters=[OrderFilter],
        responses=answers({200: OrderOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List the orders you may see: entries, exits, and stops kept at the venue."""
        return self.answer(self.page(selectors.orders(request.user)))

    @extend_schema(
        operation_id="orders_place",
        summary="Place an order that enters",
        parameters=[KEY],
        request=OrderIn,
        responses=answers({201: EnteredOut, 200: EnteredOut}, *WRITING, 422),
    )
    def post(self, request: Request) -> Response:
        """Place an order; a market order of an account that fills by itself is a position at once."""
        entered = placing.enter(
            request.user,
            self.asked(OrderIn),
            key=request.headers.get("Idempotency-Key"),
            actor=actor_of(request),
            now=timezone.now(),
        )
        status = 201 if entered.created else 200
        return Response(told(request, entered), status=status, headers={"Location": address(request, entered)})


class OneOrder(Door):
    """Look at one order, or change it."""

    queryset = Order.objects.none()
    serializer_class = OrderInFull
    rights = {"PATCH": "trading.change_order"}

    @extend_schema(
        operation_id="orders_show", summary="Show an order", responses=answers({200: OrderInFull}, *READING, 404)
    )
    def get(self, request: Request, id: int) -> Response:
        """Show one order with its fills and its life; the ETag is its version."""
        return _in_full(request, id)

    @extend_schema(
        operation_id="orders_amend",
        summary="Change a working entry order",
        parameters=[_MATCH],
        request=OrderChangeIn,
        responses=answers({202: OrderInFull}, *WRITING, 404, 409, 412),
    )
    def patch(self, request: Request, id: int) -> Response:
        """Ask for price or quantity to be changed; limits on risk judge what wants more. A worker carries it out."""
        order = get_object_or_404(selectors.orders(request.user), pk=id)
        change = ordering.Change(**self.asked(OrderChangeIn))
        ordering.amend(order.pk, change, now=timezone.now(), actor=actor_of(request), version=_version(request))
        return _in_full(request, order.pk, status=202)


class TakingBack(Door):
    """Take one order back."""

    queryset = Order.objects.none()
    serializer_class = OrderInFull
    rights = {"POST": "trading.change_order"}

    @extend_schema(
        operation_id="orders_cancel",
        summary="Take an order back",
        parameters=[_MATCH],
        request=TakingBackIn,
        responses=answers({202: OrderInFull}, *WRITING, 404, 409, 412),
    )
    def post(self, request: Request, id: int) -> Response:
        """Ask for it to be taken back; it may still fill until the venue has answered."""
        order = get_object_or_404(selectors.orders(request.user), pk=id)
        note = self.asked(TakingBackIn).get("note", "")
        ordering.cancel(order.pk, now=timezone.now(), actor=actor_of(request), why=note, version=_version(request))
        return _in_full(request, order.pk, status=202)


def told(request: Request, entered: Entered) -> dict[str, Any]:
    """Return what a wish to enter led to, for an answer."""
    position = entered.position
    if position is not None:
        position = get_object_or_404(selectors.positions_in_full(request.user), pk=position.pk)
    return {
        "order": None if entered.order is None else OrderOut(entered.order).data,
        "position": None if position is None else PositionOut(position).data,
    }


def address(request: Request, entered: Entered) -> str:
    """Return the address of what a wish to enter led to."""
    if entered.order is not None:
        return request.build_absolute_uri(f"/api/v1/orders/{entered.order.pk}")
    assert entered.position is not None
    return request.build_absolute_uri(f"/api/v1/positions/{entered.position.pk}")


def _in_full(request: Request, id_: int, status: int = 200) -> Response:
    rows = selectors.orders(request.user).prefetch_related("fills__instrument")
    order = get_object_or_404(rows, pk=id_)
    return Response(OrderInFull(order).data, status=status, headers={"ETag": f'"{order.version}"'})


def _version(request: Request) -> int | None:
    given = request.headers.get("If-Match")
    if given is None or given.strip() == "*":
        return None
    found = _TAG.fullmatch(given.strip())
    if found is None:
        rule, remedy = "must be the ETag of an order", 'send it as it came, like "7"'
        raise Refused(Problem(field="If-Match", value=given, rule=rule, remedy=remedy))
    return int(found[1])
