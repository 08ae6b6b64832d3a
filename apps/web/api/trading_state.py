"""Whether trading is allowed, over the API: look, stop, allow again; and how the site is."""

from typing import Any

from django.conf import settings
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from apps.access import reauthentication
from apps.access.permissions import actor_of
from apps.domain.restrictions import Scope, TradingState
from apps.market.models import FeedStatus
from apps.trading import selectors
from apps.trading.models import Restriction
from apps.trading.services import restrictions
from apps.web import health
from apps.web.api import standing
from apps.web.api.described import READING, WRITING, answers
from apps.web.api.risk_answers import RestrictionOut, StateSetOut, SystemOut, TradingStateOut
from apps.web.api.risk_asking import StateIn
from apps.web.api.views import Door


class State(Door):
    """Look at the trading state, or set it."""

    queryset = Restriction.objects.none()
    serializer_class = TradingStateOut

    @extend_schema(
        operation_id="trading_state_show",
        summary="Say whether trading is allowed",
        responses=answers({200: TradingStateOut}, *READING),
    )
    def get(self, request: Request) -> Response:
        """Show the state of the site and every restriction that may concern you."""
        return Response(_told(request))

    @extend_schema(
        operation_id="trading_state_set",
        summary="Stop trading, or allow it again",
        request=StateIn,
        responses=answers({200: StateSetOut}, *WRITING, 404),
    )
    def post(self, request: Request) -> Response:
        """Set the state of the site, an account, a strategy or an instrument. It counts at once, without Redis.

        Stopping needs the right trading.restrict, allowing again trading.rearm, and in a browser a recent sign-in.
        """
        asked = self.asked(StateIn)
        self._insist(request, asked["state"])
        scope, target = asked.get("scope", Scope.SITE), asked.get("target", 0)
        if scope is Scope.ACCOUNT and not selectors.for_user(request.user).filter(pk=target).exists():
            raise Http404
        wanted = restrictions.Order(
            state=asked["state"],
            scope=scope,
            target=target,
            reason=asked["reason"],
            actor=actor_of(request),
            source="api",
            flatten=asked.get("flatten", False),
        )
        exits = restrictions.order(wanted, now=timezone.now())
        return Response({**_told(request), "exits": exits})

    def _insist(self, request: Request, wanted: TradingState) -> None:
        if wanted is not TradingState.ACTIVE:
            self.insist("trading.restrict")
            return
        self.insist("trading.rearm")
        # A token was given for this; a session may have been left open.
        if request.auth is None and not reauthentication.is_recent(request._request, now=timezone.now()):
            raise PermissionDenied("Prove first who you are, at /account/reauthenticate/: this is dangerous.")


class System(Door):
    """Look at the site."""

    queryset = Restriction.objects.none()
    serializer_class = SystemOut

    @extend_schema(
        operation_id="system_show", summary="Show how the site is", responses=answers({200: SystemOut}, *READING)
    )
    def get(self, request: Request) -> Response:
        """Show checks, feeds, processes, queues, leaders, and what waits.

        What the checks saw and where things run is for staff.
        """
        now = timezone.now()
        checks, waiting = health.checks(now), selectors.exits_waiting()
        is_staff = bool(getattr(request.user, "is_staff", False))
        found = {
            "status": "ok" if all(check.ok for check in checks) else "failing",
            "at": now,
            "live_trading": settings.LIVE_TRADING,
            "trading": _of_site(),
            "exits_waiting": waiting.exits,
            "oldest_exit_at": waiting.oldest,
            "checks": [
                {"name": check.name, "ok": check.ok, "seen": check.seen if is_staff else None} for check in checks
            ],
            "feeds": list(FeedStatus.objects.values("name", "state", "reason", "since")),
            "processes": standing.processes(now, is_staff=is_staff),
            "leaders": standing.leaders(now, is_staff=is_staff),
            "queues": standing.queues(),
            "backup": standing.backup(),
        }
        return Response(SystemOut(found).data)


def _told(request: Request) -> dict[str, Any]:
    rows = selectors.placed(Restriction.objects.order_by("scope", "target"), request.user)
    return {"state": str(_of_site()), "restrictions": RestrictionOut(rows, many=True).data}


def _of_site() -> TradingState:
    row = Restriction.objects.filter(scope=Scope.SITE).first()
    return TradingState(row.state) if row else TradingState.ACTIVE
