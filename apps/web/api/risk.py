"""Risk over the API: limits and the rules they are made of, breaches, and measures over time."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.access.models import Scope as TokenScope
from apps.access.permissions import actor_of
from apps.domain.restrictions import Scope
from apps.domain.risk import contract
from apps.domain.risk.registry import RULES
from apps.trading import selectors
from apps.trading.models import RiskLimit, RiskMetric, Violation
from apps.trading.services import limits
from apps.web.api.conditional import Kept
from apps.web.api.described import READING, WRITING, answers
from apps.web.api.risk_answers import LimitOut, MetricOut, RuleOut, ViolationOut
from apps.web.api.risk_asking import LimitChangeIn, LimitFilter, LimitIn, MetricFilter, ViolationFilter
from apps.web.api.views import Door, Listing


class Limits(Listing):
    """List and add limits."""

    queryset = RiskLimit.objects.none()
    serializer_class = LimitOut
    filter_serializer = LimitFilter
    rights = {"POST": "trading.add_risklimit"}

    @property
    def scope(self) -> TokenScope | None:
        """Limits are set by administrators' tokens; reading needs what reading needs."""
        return TokenScope.ADMIN if self.request.method == "POST" else None

    @extend_schema(
        operation_id="risk_limits_list",
        summary="List limits on risk",
        parameters=[LimitFilter],
        responses=answers({200: LimitOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List the limits that may concern you; those about accounts of others are left out."""
        return self.answer(self.page(selectors.placed(RiskLimit.objects.order_by("id"), request.user)))

    @extend_schema(
        operation_id="risk_limits_add",
        summary="Add a limit",
        request=LimitIn,
        responses=answers({201: LimitOut}, *WRITING, 404),
    )
    def post(self, request: Request) -> Response:
        """Add a limit; it counts from the next entry on."""
        asked = self.asked(LimitIn)
        _insist_on_own(request, asked)
        asked["profile_id"] = asked.pop("profile", None)
        row = limits.add(limits.Wanted(**asked), actor=actor_of(request))
        headers = {"Location": request.build_absolute_uri(f"{request.path}/{row.pk}")}
        return Response(LimitOut(row).data, status=201, headers=headers)


class OneLimit(Kept, Door):
    """Look at one limit, change it, take it away."""

    queryset = RiskLimit.objects.none()
    serializer_class = LimitOut
    rights = {"PATCH": "trading.change_risklimit", "DELETE": "trading.delete_risklimit"}

    @property
    def scope(self) -> TokenScope | None:
        """Limits are set by administrators' tokens; reading needs what reading needs."""
        return TokenScope.ADMIN if self.request.method in ("PATCH", "DELETE") else None

    @extend_schema(
        operation_id="risk_limits_show", summary="Show a limit", responses=answers({200: LimitOut}, *READING, 404)
    )
    def get(self, request: Request, id: int) -> Response:
        """Show one limit."""
        return Response(LimitOut(_seen(request, id)).data)

    @extend_schema(
        operation_id="risk_limits_change",
        summary="Change a limit",
        request=LimitChangeIn,
        responses=answers({200: LimitOut}, *WRITING, 404),
    )
    def patch(self, request: Request, id: int) -> Response:
        """Change parameters, action, note, or whether it is switched on."""
        row = limits.change(_seen(request, id).pk, self.asked(LimitChangeIn), actor=actor_of(request))
        return Response(LimitOut(row).data)

    @extend_schema(
        operation_id="risk_limits_remove",
        summary="Take a limit away",
        request=None,
        responses=answers({204: None}, *WRITING, 404),
    )
    def delete(self, request: Request, id: int) -> Response:
        """Take it away; its violations stay. To switch it off for a while, change `enabled`."""
        limits.remove(_seen(request, id).pk, actor=actor_of(request))
        return Response(status=204)


class Rules(Kept, Door):
    """List rules."""

    queryset = RiskLimit.objects.none()
    serializer_class = RuleOut
    pagination_class = None

    @extend_schema(
        operation_id="risk_rules_list",
        summary="List the rules limits are made of",
        responses=answers({200: RuleOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List every rule with the schema of its parameters."""
        return Response([_rule(name) for name in RULES.names()])


class Violations(Listing):
    """List violations."""

    queryset = Violation.objects.none()
    serializer_class = ViolationOut
    filter_serializer = ViolationFilter

    def filtered(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return the violations asked for."""
        given = self.given()
        standing = given.pop("standing", None)
        return rows.filter(**given) if standing is None else rows.filter(**given, ended_at__isnull=standing)

    @extend_schema(
        operation_id="risk_violations_list",
        summary="List limits that are or were broken, newest first",
        parameters=[ViolationFilter],
        responses=answers({200: ViolationOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List violations of your accounts."""
        return self.answer(self.page(selectors.hanging_on(Violation.objects.all(), request.user)))


class Metrics(Listing):
    """List measures."""

    queryset = RiskMetric.objects.none()
    serializer_class = MetricOut
    filter_serializer = MetricFilter
    columns = {"since": "at__gte", "until": "at__lt"}

    @extend_schema(
        operation_id="risk_metrics_list",
        summary="List what accounts were worth and risked, newest first",
        parameters=[MetricFilter],
        responses=answers({200: MetricOut(many=True)}, *READING),
    )
    def get(self, request: Request) -> Response:
        """List the measures of your accounts: one a minute, after some weeks one an hour."""
        rows = RiskMetric.objects.order_by("-at", "account_id")
        return self.answer(self.page(selectors.hanging_on(rows, request.user)))


def _seen(request: Request, id_: int) -> RiskLimit:
    return get_object_or_404(selectors.placed(RiskLimit.objects.all(), request.user), pk=id_)


def _insist_on_own(request: Request, asked: dict[str, Any]) -> None:
    """Answer as if there were no such account when it is another person's."""
    account = asked.get("target") if asked.get("scope") is Scope.ACCOUNT else None
    if account and not selectors.for_user(request.user).filter(pk=account).exists():
        raise Http404


def _rule(name: str) -> dict[str, Any]:
    rule = RULES.get(name)
    schema = contract.schema(rule)
    return {
        "name": name,
        "description": schema.pop("description"),
        "continuous": rule.continuous,
        "parameters": schema,
    }
