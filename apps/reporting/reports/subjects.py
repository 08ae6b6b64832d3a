"""Whom is a report about? An account, or one strategy on an account; and by which calendar its days end."""

from dataclasses import dataclass
from typing import Final

from django.db.models import Q, QuerySet

from apps.domain import exchanges
from apps.market.models import Instrument
from apps.reporting.reports.periods import Period
from apps.strategies.models import Strategy
from apps.trading.models import Account, Allocation, Position
from apps.trading.statistics.selection import Selection

_LOOKED_AT: Final = 200  # of the positions closed last


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a report is about."""

    account: Account
    strategy: Strategy | None = None

    def selection(self, period: Period) -> Selection:
        """Return its rows of a period for the statistics."""
        strategy = self.strategy.pk if self.strategy else None
        return Selection(accounts=[self.account.pk], strategy=strategy, since=period.since, until=period.until)

    def positions(self, period: Period) -> QuerySet[Position]:
        """Return its lots that were held at some time of a period."""
        held = Q(opened_at__lt=period.until) & (Q(closed_at=None) | Q(closed_at__gte=period.since))
        rows = Position.objects.filter(held, account=self.account)
        return rows.filter(signal__strategy=self.strategy) if self.strategy else rows


def calendar_of(account: Account) -> str:
    """Return the calendar whose closes end an account's days: that of all it trades, 24/7 where they are several."""
    last = Position.objects.filter(account=account, status="closed").order_by("-closed_at", "-id")
    traded = {*last.values_list("instrument_id", flat=True)[:_LOOKED_AT]}
    traded |= {
        *Position.objects.filter(account=account).exclude(status="closed").values_list("instrument_id", flat=True)
    }
    followed = Q(strategy__allocations__account=account)
    names = Instrument.objects.filter(Q(pk__in=traded) | followed).values_list("calendar", flat=True).distinct()
    found = {exchanges.canonical(name) for name in names}
    return found.pop() if len(found) == 1 else exchanges.ALWAYS


def followed(account: Account) -> list[Allocation]:
    """Return what an account follows or followed, by name."""
    rows = Allocation.objects.filter(account=account).select_related("strategy", "account")
    return list(rows.order_by("strategy__name"))
