"""Backtests over the API: ask for one, follow it, read what came of it, put several side by side."""

from datetime import datetime
from typing import Any, Final

import numpy as np
from django.db.models import Q, QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.access.permissions import actor_of
from apps.backtests import plain, selectors, spellings
from apps.backtests.models import Run
from apps.backtests.requests import Request as Wanted
from apps.backtests.services import runs
from apps.backtests.sources import Spec
from apps.domain.errors import Problem
from apps.strategies.models import Strategy
from apps.web.api.conditional import Kept
from apps.web.api.described import READING, WRITING, answers
from apps.web.api.strategies import visible
from apps.web.api.strategy_answers import ComparedOut, CurveOut, RunOut, RunResultOut
from apps.web.api.strategy_asking import ComparisonFilter, ReasonIn, RunFilter, RunIn
from apps.web.api.views import Door, Listing
from apps.web.problems import TooMany

MOST_UNDER_WAY: Final = 4  # of one person: the workers are everybody's
POINTS: Final = 1000  # of a curve
UNFINISHED: Final = (Run.State.QUEUED, Run.State.RUNNING)
ADD: Final = "backtests.add_run"


def seen(user: Any) -> QuerySet[Run]:
    """Return the backtests a person may see: all with the right to, else their own."""
    rows = selectors.runs()
    return rows if user.has_perm("backtests.view_run") else rows.filter(made_by_id=user.pk)


class Backtests(Listing):
    """Ask for and list backtests."""

    queryset = Run.objects.none()
    serializer_class = RunOut
    filter_serializer = RunFilter
    rights = {"POST": ADD}

    @extend_schema(
        operation_id="backtests_list",
        summary="List backtests, newest first",
        parameters=[RunFilter],
        responses=answers({200: RunOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List backtests with their first figures; trials of searches are of the kind `trial`."""
        return self.answer(self.page(seen(request.user)))

    @extend_schema(
        operation_id="backtests_start",
        summary="Ask for a backtest",
        request=RunIn,
        responses=answers({202: RunOut}, *WRITING, 404, 429),
    )
    def post(self, request: Request) -> Response:
        """Have one computed by a worker; follow it at the address given, up to four at once."""
        asked, now = self.asked(RunIn), timezone.now()
        user: Any = request.user
        strategy = get_object_or_404(visible(user), pk=asked["strategy"]) if "strategy" in asked else None
        under_way = Run.objects.filter(made_by_id=user.pk, state__in=UNFINISHED).count()
        if under_way >= MOST_UNDER_WAY:
            rule = f"is as many as one person may have under way ({MOST_UNDER_WAY})"
            raise TooMany(Problem(field="backtests", value=str(under_way), rule=rule, remedy="wait, or cancel one"))
        run = runs.start(_wanted(asked, strategy, now), now=now, made_by=user, strategy=strategy)
        headers = {"Location": request.build_absolute_uri(f"{request.path}/{run.pk}")}
        return Response(RunOut(run).data, status=202, headers=headers)


class OneBacktest(Kept, Door):
    """Look at one backtest."""

    queryset = Run.objects.none()
    serializer_class = RunResultOut

    @extend_schema(
        operation_id="backtests_show",
        summary="Show how far a backtest is, and its result",
        responses=answers({200: RunResultOut}, *READING, 404),
    )
    def get(self, request: Request, id: int) -> Response:
        """Show progress while it is computed, then statistics, critique and bounds."""
        return Response(RunResultOut(get_object_or_404(seen(request.user), pk=id)).data)


class Curve(Kept, Door):
    """Look at the equity of one backtest."""

    queryset = Run.objects.none()
    serializer_class = CurveOut

    @extend_schema(
        operation_id="backtests_equity",
        summary="Show the equity of a finished backtest",
        responses=answers({200: CurveOut}, *READING, 404),
    )
    def get(self, request: Request, id: int) -> Response:
        """Show the equity after each bar, or of a thousand of them."""
        at, value = selectors.equity(_finished(request, id))
        chosen = np.unique(np.linspace(0, max(len(at) - 1, 0), min(len(at), POINTS)).round().astype(np.int64))
        return Response({"bars": len(at), "at": at[chosen].tolist(), "value": plain.numbers(value[chosen])})


class TakingBackRun(Door):
    """Take one backtest back."""

    queryset = Run.objects.none()
    serializer_class = RunOut
    rights = {"POST": ADD}

    @extend_schema(
        operation_id="backtests_cancel",
        summary="Cancel a backtest",
        request=ReasonIn,
        responses=answers({200: RunOut}, *WRITING, 404),
    )
    def post(self, request: Request, id: int) -> Response:
        """Take it back unless it is finished; who computes it stops soon."""
        self.asked(ReasonIn)
        run = get_object_or_404(seen(request.user), pk=id)
        runs.cancel(run.pk, actor=actor_of(request))
        return Response(RunOut(selectors.runs().get(pk=run.pk)).data)


class Comparison(Kept, Listing):
    """Put backtests side by side."""

    queryset = Run.objects.none()
    serializer_class = ComparedOut
    filter_serializer = ComparisonFilter
    pagination_class = None
    paging = ()

    @extend_schema(
        operation_id="backtests_compare",
        summary="Put two to four finished backtests side by side",
        parameters=[ComparisonFilter],
        responses=answers({200: ComparedOut}, *READING, 404),
    )
    def get(self, request: Request) -> Response:
        """Show every figure of the runs named, in their order."""
        wanted = self.given()["runs"]
        found = {run.pk: run for run in seen(request.user).filter(pk__in=wanted, state=Run.State.DONE)}
        if set(wanted) - set(found):
            raise Http404
        chosen = [found[number] for number in wanted]
        names = dict.fromkeys(name for run in chosen for name, value in run.statistics.items() if _is_figure(value))
        figures = {name: [_figure(run.statistics.get(name)) for run in chosen] for name in names}
        return Response(ComparedOut({"runs": chosen, "figures": figures}).data)


def _wanted(asked: dict[str, Any], strategy: Strategy | None, now: datetime) -> Wanted:
    plugin = strategy.plugin if strategy else asked["plugin"]
    until = asked.get("until")
    return Wanted(
        plugin=plugin,
        parameters={**(strategy.parameters if strategy else {}), **asked.get("parameters", {})},
        conventions=spellings.conventions(asked.get("conventions", {}), strategy=plugin),
        data=Spec(
            instruments=tuple(asked["instruments"]),
            bar_seconds=asked.get("bar_seconds") or (strategy.bar_seconds if strategy else None),
            since=asked.get("since"),
            until=now if until is None else min(until, now),
        ),
    )


def _finished(request: Request, id_: int) -> Run:
    mine = Q() if request.user.has_perm("backtests.view_run") else Q(made_by_id=request.user.pk)
    return get_object_or_404(Run.objects.filter(mine, state=Run.State.DONE), pk=id_)


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _figure(value: Any) -> float | None:
    return float(value) if _is_figure(value) else None
