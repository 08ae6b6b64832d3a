"""Signals over the API: what strategies wanted after each bar."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.strategies.models import Signal
from apps.web.api.described import READING, answers
from apps.web.api.strategies import visible
from apps.web.api.strategy_answers import SignalOut
from apps.web.api.strategy_asking import SignalFilter
from apps.web.api.views import Listing


class Signals(Listing):
    """List signals."""

    queryset = Signal.objects.none()
    serializer_class = SignalOut
    filter_serializer = SignalFilter
    columns = {"instrument": "instrument__symbol", "since": "bar_at__gte", "until": "bar_at__lt"}

    @extend_schema(
        operation_id="signals_list",
        summary="List signals, newest first",
        parameters=[SignalFilter],
        responses=answers({200: SignalOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List what the strategies you may see wanted; a decision tells what came of each."""
        rows = Signal.objects.filter(strategy__in=visible(request.user)).select_related("instrument")
        return self.answer(self.page(rows))
