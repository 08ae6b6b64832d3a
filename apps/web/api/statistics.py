"""Figures over the API: what trading brought, and an account through time."""

from datetime import datetime
from typing import Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.domain.errors import Problem, Refused
from apps.market.models import Instrument
from apps.strategies.models import Strategy
from apps.trading import selectors
from apps.trading.models import Account
from apps.trading.selectors import Caller
from apps.trading.statistics import equity, summary
from apps.trading.statistics.selection import Period, Selection
from apps.web.api.described import READING, answers
from apps.web.api.fields import Id, Strict, Symbol, Word
from apps.web.api.market_asking import Instant
from apps.web.api.statistics_answers import EquityOut, StatisticsOut
from apps.web.api.views import Listing


class EquityFilter(Strict):
    """Which account, and when."""

    account = Id(required=False, help_text="Yours; your first one if left out.")
    since = Instant(required=False)
    until = Instant(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse days that end before they begin. Raises Refused."""
        since, until = attrs.get("since"), attrs.get("until")
        if since and until and until <= since:
            rule, remedy = "must be after since", "exchange the two"
            raise Refused(Problem(field="until", value=until.isoformat(), rule=rule, remedy=remedy))
        return attrs


class StatisticsFilter(EquityFilter):
    """Which trading is asked about; everything you may see if nothing is given."""

    account = Id(required=False, help_text="Yours; all of yours if left out.")
    instrument = Symbol(required=False)
    strategy = Id(required=False, help_text="The number of the strategy that opened the lots.")
    by = Word(Period, required=False, help_text="How long a row of time is; day if left out.")


class Statistics(Listing):
    """What trading brought."""

    queryset = Account.objects.none()
    serializer_class = StatisticsOut
    filter_serializer = StatisticsFilter
    pagination_class = None
    paging = ()

    @extend_schema(
        operation_id="statistics_show",
        summary="Show what trading brought",
        parameters=[StatisticsFilter],
        responses=answers({200: StatisticsOut}, *READING, 404),
    )
    def get(self, request: Request) -> Response:
        """Show trades, books, fees, latency and open lots of your accounts, from a fixed number of statements."""
        asked, now = self.given(), timezone.now()
        found = summary.of(
            _selection(request.user, asked), by=asked.get("by", Period.DAY), now=now, most_fills=summary.MOST_FILLS
        )
        return Response(StatisticsOut(found, context={"now": now}).data)


class Equity(Listing):
    """An account through time."""

    queryset = Account.objects.none()
    serializer_class = EquityOut
    filter_serializer = EquityFilter
    pagination_class = None
    paging = ()

    @extend_schema(
        operation_id="statistics_equity",
        summary="Show an account through time",
        parameters=[EquityFilter],
        responses=answers({200: EquityOut}, *READING, 404),
    )
    def get(self, request: Request) -> Response:
        """Show the equity, growth and drawdown of an account; points that were not recorded are rebuilt."""
        asked = self.given()
        account = _account(request.user, asked.get("account"))
        since, until = _days(asked)
        curve = equity.of(account, now=timezone.now(), since=since, until=until)
        return Response(EquityOut(curve).data)


def _selection(user: Caller, asked: dict[str, Any]) -> Selection:
    mine = selectors.for_user(user)
    if "account" in asked:
        accounts = [get_object_or_404(mine, pk=asked["account"]).pk]
    else:
        accounts = list(mine.values_list("pk", flat=True))
    since, until = _days(asked)
    return Selection(
        accounts=accounts,
        instrument=get_object_or_404(Instrument, symbol=asked["instrument"]).pk if "instrument" in asked else None,
        strategy=get_object_or_404(Strategy, pk=asked["strategy"]).pk if "strategy" in asked else None,
        since=since,
        until=until,
    )


def _account(user: Caller, number: int | None) -> Account:
    if number is not None:
        return get_object_or_404(selectors.for_user(user), pk=number)
    account = selectors.default_account(user)
    if account is None:
        raise Http404
    return account


def _days(asked: dict[str, Any]) -> tuple[datetime | None, datetime | None]:
    return asked.get("since"), asked.get("until")
