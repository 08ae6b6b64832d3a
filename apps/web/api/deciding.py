"""Why and why not over the API: decisions, fills, the books, and where a venue differs from them."""

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.trading import selectors
from apps.trading.models import Decision, Discrepancy, Fill, LedgerEntry
from apps.web.api.described import READING, answers
from apps.web.api.order_answers import DecisionOut, DiscrepancyOut, FillOut, LedgerOut
from apps.web.api.order_asking import DecisionFilter, DiscrepancyFilter, FillFilter, LedgerFilter
from apps.web.api.views import Door, Listing

_DECISIONS = Decision.objects.select_related("instrument").prefetch_related("orders")


class Decisions(Listing):
    """List decisions."""

    queryset = Decision.objects.none()
    serializer_class = DecisionOut
    filter_serializer = DecisionFilter
    columns = {"instrument": "instrument__symbol"}

    @extend_schema(
        operation_id="decisions_list",
        summary="List decisions, newest first",
        parameters=[DecisionFilter],
        responses=answers({200: DecisionOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List every wish to enter, approved or refused, with what each limit said."""
        return self.answer(self.page(selectors.hanging_on(_DECISIONS.all(), request.user)))


class OneDecision(Door):
    """Look at one decision."""

    queryset = Decision.objects.none()
    serializer_class = DecisionOut

    @extend_schema(
        operation_id="decisions_show", summary="Say why", responses=answers({200: DecisionOut}, *READING, 404)
    )
    def get(self, request: Request, id: int) -> Response:
        """Show why something was entered, or why not."""
        return Response(
            DecisionOut(get_object_or_404(selectors.hanging_on(_DECISIONS.all(), request.user), pk=id)).data
        )


class Fills(Listing):
    """List fills."""

    queryset = Fill.objects.none()
    serializer_class = FillOut
    filter_serializer = FillFilter
    columns = {"instrument": "instrument__symbol"}

    @extend_schema(
        operation_id="fills_list",
        summary="List fills, newest first",
        parameters=[FillFilter],
        responses=answers({200: FillOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List what was traded."""
        return self.answer(self.page(selectors.hanging_on(Fill.objects.select_related("instrument"), request.user)))


class Ledger(Listing):
    """List lines of the books."""

    queryset = LedgerEntry.objects.none()
    serializer_class = LedgerOut
    filter_serializer = LedgerFilter

    @extend_schema(
        operation_id="ledger_list",
        summary="List lines of the books, newest first",
        parameters=[LedgerFilter],
        responses=answers({200: LedgerOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List what trading did to the money; every line sums to zero."""
        return self.answer(self.page(selectors.hanging_on(LedgerEntry.objects.all(), request.user)))


class Discrepancies(Listing):
    """List differences."""

    queryset = Discrepancy.objects.none()
    serializer_class = DiscrepancyOut
    filter_serializer = DiscrepancyFilter

    @extend_schema(
        operation_id="discrepancies_list",
        summary="List where a venue and our books differ",
        parameters=[DiscrepancyFilter],
        responses=answers({200: DiscrepancyOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List differences, newest first; they are resolved on the site's pages."""
        return self.answer(self.page(selectors.hanging_on(Discrepancy.objects.all(), request.user)))
