"""Strategies over the API: what there is, how each stands, start, stop, other parameters; and the plug-ins."""

from typing import Any, Final

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.access.permissions import actor_of
from apps.domain.strategies import contract
from apps.domain.strategies.registry import STRATEGIES
from apps.strategies.models import Strategy
from apps.strategies.services import settings
from apps.trading import selectors
from apps.trading.models import Allocation
from apps.web.api.conditional import Kept
from apps.web.api.described import READING, WRITING, answers
from apps.web.api.strategy_answers import PluginOut, StrategyOut
from apps.web.api.strategy_asking import ReasonIn, StrategyChangeIn, StrategyFilter
from apps.web.api.views import Door, Listing

CHANGE: Final = "strategies.change_strategy"


def visible(user: Any) -> QuerySet[Strategy]:
    """Return the strategies a person may see: all with the right to, else those their accounts follow."""
    rows = Strategy.objects.order_by("name")
    if user.has_perm("strategies.view_strategy") or user.has_perm(CHANGE):
        return rows
    followed = Allocation.objects.filter(account__in=selectors.for_user(user))
    return rows.filter(pk__in=followed.values("strategy_id"))


class Strategies(Listing):
    """List strategies."""

    queryset = Strategy.objects.none()
    serializer_class = StrategyOut
    filter_serializer = StrategyFilter

    @extend_schema(
        operation_id="strategies_list",
        summary="List strategies",
        parameters=[StrategyFilter],
        responses=answers({200: StrategyOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List every strategy, or those your accounts follow."""
        return self.answer(self.page(visible(request.user).prefetch_related("instruments")))


class OneStrategy(Kept, Door):
    """Look at one strategy, or change its settings."""

    queryset = Strategy.objects.none()
    serializer_class = StrategyOut
    rights = {"PATCH": CHANGE}

    @extend_schema(
        operation_id="strategies_show", summary="Show a strategy", responses=answers({200: StrategyOut}, *READING, 404)
    )
    def get(self, request: Request, id: int) -> Response:
        """Show one strategy."""
        return Response(StrategyOut(_seen(request, id)).data)

    @extend_schema(
        operation_id="strategies_change",
        summary="Change the parameters of a strategy",
        request=StrategyChangeIn,
        responses=answers({200: StrategyOut}, *WRITING, 404),
    )
    def patch(self, request: Request, id: int) -> Response:
        """Change settings, checked by the plug-in's schema. What was proven for others falls back to draft."""
        asked = self.asked(StrategyChangeIn)
        row = settings.change(_seen(request, id).pk, actor=actor_of(request), **asked)
        return Response(StrategyOut(row).data)


class Starting(Door):
    """Start one strategy."""

    queryset = Strategy.objects.none()
    serializer_class = StrategyOut
    rights = {"POST": CHANGE}

    @extend_schema(
        operation_id="strategies_start",
        summary="Start a strategy",
        request=ReasonIn,
        responses=answers({200: StrategyOut}, *WRITING, 404),
    )
    def post(self, request: Request, id: int) -> Response:
        """Switch it on and end its pause; its stage must be paper or live then."""
        asked = self.asked(ReasonIn)
        return Response(StrategyOut(settings.start(_seen(request, id).pk, actor=actor_of(request), **asked)).data)


class Stopping(Door):
    """Stop one strategy."""

    queryset = Strategy.objects.none()
    serializer_class = StrategyOut
    rights = {"POST": CHANGE}

    @extend_schema(
        operation_id="strategies_stop",
        summary="Stop a strategy",
        request=ReasonIn,
        responses=answers({200: StrategyOut}, *WRITING, 404),
    )
    def post(self, request: Request, id: int) -> Response:
        """Let it be asked no more; its positions stay, with their stops and targets."""
        asked = self.asked(ReasonIn)
        return Response(StrategyOut(settings.stop(_seen(request, id).pk, actor=actor_of(request), **asked)).data)


class Plugins(Kept, Door):
    """List plug-ins."""

    queryset = Strategy.objects.none()
    serializer_class = PluginOut
    pagination_class = None

    @extend_schema(
        operation_id="strategies_plugins",
        summary="List the plug-ins strategies are made of",
        responses=answers({200: PluginOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List every plug-in with the schema of its parameters."""
        return Response([_plugin(name) for name in STRATEGIES.names()])


def _seen(request: Request, id_: int) -> Strategy:
    return get_object_or_404(visible(request.user), pk=id_)


def _plugin(name: str) -> dict[str, Any]:
    schema = contract.schema(STRATEGIES.get(name))
    return {"name": name, "description": schema.pop("description"), "parameters": schema}
