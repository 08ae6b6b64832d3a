"""Positions over the API: open, list, look at, amend, close."""

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.access.permissions import actor_of
from apps.domain.legs import ExitReason
from apps.trading import selectors
from apps.trading.models import Position
from apps.trading.services import exits, positions
from apps.web.api import orders, placing
from apps.web.api.answers import ClosingOut, PositionOut
from apps.web.api.asking import CloseIn, LevelsIn, PositionFilter, PositionIn
from apps.web.api.described import READING, WRITING, answers
from apps.web.api.order_answers import EnteredOut
from apps.web.api.orders import KEY
from apps.web.api.views import Door, Listing


class Positions(Listing):
    """Open and list positions."""

    queryset = Position.objects.none()
    serializer_class = PositionOut
    rights = {"POST": "trading.add_position"}
    filter_serializer = PositionFilter
    columns = {"instrument": "instrument__symbol", "account": "account_id"}

    @extend_schema(
        operation_id="positions_list",
        summary="List positions, newest first",
        parameters=[PositionFilter],
        responses=answers({200: PositionOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List the positions you may see."""
        return self.answer(self.page(selectors.positions_in_full(request.user)))

    @extend_schema(
        operation_id="positions_open",
        summary="Open a position",
        parameters=[KEY],
        request=PositionIn,
        responses=answers({201: PositionOut, 200: PositionOut, 202: EnteredOut}, *WRITING, 422),
    )
    def post(self, request: Request) -> Response:
        """Open a position at the market; 200 with the earlier one when the idempotency key came before.

        Where a broker fills it the answer is 202 with the order: the position comes with its first fill.
        """
        entered = placing.enter(
            request.user,
            self.asked(PositionIn),
            key=request.headers.get("Idempotency-Key"),
            actor=actor_of(request),
            now=timezone.now(),
        )
        headers = {"Location": orders.address(request, entered)}
        if entered.order is not None or entered.position is None:
            return Response(orders.told(request, entered), status=202, headers=headers)
        answer = _in_full(request, entered.position.pk)
        return Response(answer, status=201 if entered.created else 200, headers=headers)


class OnePosition(Door):
    """Look at one position."""

    queryset = Position.objects.none()
    serializer_class = PositionOut

    @extend_schema(
        operation_id="positions_show", summary="Show a position", responses=answers({200: PositionOut}, *READING, 404)
    )
    def get(self, request: Request, id: int) -> Response:
        """Show one position with its legs and exits."""
        return Response(_in_full(request, id))


class Levels(Door):
    """Amend the levels of one position."""

    queryset = Position.objects.none()
    serializer_class = PositionOut
    rights = {"PATCH": "trading.change_position"}

    @extend_schema(
        operation_id="positions_amend_levels",
        summary="Amend levels",
        request=LevelsIn,
        responses=answers({200: PositionOut}, *WRITING, 404, 409),
    )
    def patch(self, request: Request, id: int) -> Response:
        """Replace the legs of each kind named; null removes them, kinds not named stay."""
        position = get_object_or_404(selectors.positions(request.user), pk=id)
        now = timezone.now()
        legs = placing.legs_by_kind(self.asked(LevelsIn), now)
        positions.amend_levels(position_id=position.pk, legs=legs, now=now, actor=actor_of(request))
        return Response(_in_full(request, position.pk))


class Closing(Door):
    """Close one position."""

    queryset = Position.objects.none()
    serializer_class = ClosingOut
    rights = {"POST": "trading.change_position"}

    @extend_schema(
        operation_id="positions_close",
        summary="Close a position",
        request=CloseIn,
        responses=answers({202: ClosingOut}, *WRITING, 404, 409),
    )
    def post(self, request: Request, id: int) -> Response:
        """Ask for all of it to be left at the market; a worker does it within milliseconds."""
        position = get_object_or_404(selectors.positions(request.user), pk=id)
        exit_ = exits.request_exit(
            position_id=position.pk,
            reason=ExitReason.API,
            source="api",
            now=timezone.now(),
            actor=actor_of(request),
            note=self.asked(CloseIn).get("note", ""),
        )
        return Response(
            {"id": exit_.pk, "status": exit_.status, "position": _in_full(request, position.pk)}, status=202
        )


def _in_full(request: Request, position_id: int) -> Any:
    return PositionOut(get_object_or_404(selectors.positions_in_full(request.user), pk=position_id)).data
