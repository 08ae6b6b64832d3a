"""Asking a venue for everything at once: what is known of our orders is settled, what is left over differs.

Only reports and executions are settled here, by the same door as everywhere. Nothing is placed, and nothing is taken
back but an order of ours that counts as refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db.models import Q

from apps.domain import reconciling
from apps.domain.orders import Execution, Report
from apps.domain.reconciling import Difference, Foreign, Known, Scope
from apps.domain.states import ENDED_ORDERS, OrderStatus
from apps.trading.brokers.base import Broker, BrokerRefused
from apps.trading.models import Account, Discrepancy, DiscrepancyKind, Fill, Order, Resolution, Standing
from apps.trading.services import looking, order_books, sheets
from apps.trading.services.looking import Seen

OVERLAP: Final = timedelta(minutes=5)  # fills are asked for from that long before the last that are known
_IN_DOUBT = (OrderStatus.UNKNOWN, OrderStatus.CANCELLING)
_AT_VENUE = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)
_FLYING = (OrderStatus.SUBMITTING, *_IN_DOUBT)
_JUST_NOW = timedelta(seconds=3)  # a venue may list an order, or leave it out, that much later

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look at a venue found."""

    found: list[Difference]
    scope: Scope
    through: datetime  # fills up to here have been seen, by the venue's clock
    skew: Decimal | None  # seconds


def look(broker: Broker, account: Account, standing: Standing, clock: Clock) -> Look:
    """Settle what a venue says of our orders and return what is left that differs. Raises what the broker does."""
    began = clock()
    told = _clock(broker)
    _look_at_those_in_doubt(broker, account, clock)
    foreign = _settle_fills(broker, account, standing, clock, told or began)
    working = broker.working()
    present = _settle_working(broker, account, working, clock)
    before = sheets.stamp(account)
    holdings, balances = broker.positions(), broker.balances()
    ours, flying = sheets.ours(account, spot=holdings is None), _in_flight(account, spot=holdings is None)
    known = _noted_fills(account)
    for one in {fill.execution.id: fill for fill in [*known, *foreign]}.values():
        sheets.add_fill(ours, one, spot=holdings is None)
    theirs = sheets.theirs(account, holdings, balances)
    scope = Scope(in_flight=flying, unsettled=sheets.stamp(account) != before)
    found = [*reconciling.compare_orders(_known(account, working, present, clock()), working)]
    found += [reconciling.unknown_fill(one) for one in foreign]
    amounts = reconciling.compare_held(ours.held, theirs.held, sheets.least(spot=holdings is None))
    amounts += reconciling.compare_cash(ours.cash, theirs.cash)
    found += [one for one in amounts if scope.covers(one.kind, one.subject)]
    skew = None if told is None else Decimal(str(round((told - began).total_seconds(), 3)))
    return Look(found=found, scope=scope, through=told or began, skew=skew)


def _clock(broker: Broker) -> datetime | None:
    try:
        return broker.clock()
    except BrokerRefused:
        return None  # some venues do not tell


# --- orders ----------------------------------------------------------------------------------------------------------
def _look_at_those_in_doubt(broker: Broker, account: Account, clock: Clock) -> None:
    rows = Order.objects.filter(account=account).select_related("account", "instrument")
    for order in rows.filter(status__in=_IN_DOUBT).order_by("pk"):
        looking.look(broker, order, clock)


def _settle_working(broker: Broker, account: Account, working: Sequence[Report], clock: Clock) -> set[int]:
    """Settle what works at the venue, ask about what works here only, and return which of those are there after all."""
    listed = {order.pk: (order, report) for report in working if (order := _order_of(account, report)) is not None}
    for order, report in listed.values():
        if _says_more(order, report):
            looking.look(broker, order, clock)  # the list may lack executions
    live = Order.objects.filter(account=account, status__in=_AT_VENUE).exclude(pk__in=listed)
    missing = list(live.select_related("account", "instrument").order_by("pk"))
    return {order.pk for order in missing if looking.look(broker, order, clock) is Seen.FOUND}


def _order_of(account: Account, report: Report) -> Order | None:
    rows = Order.objects.filter(account=account).select_related("account", "instrument")
    return rows.filter(_named(report.client_id, report.venue_id)).first()


def _named(client_id: str, venue_id: str) -> Q:
    named = Q(client_id=client_id) if client_id else Q(pk__in=())
    return named | Q(venue_id=venue_id) if venue_id else named


def _says_more(order: Order, report: Report) -> bool:
    if order.status in (OrderStatus.SUBMITTING, OrderStatus.CANCELLING):
        return False  # whoever is at it will hear
    return order.status == OrderStatus.REJECTED or report.filled > order.claimed or report.status != order.status


def _known(account: Account, working: Sequence[Report], present: set[int], now: datetime) -> list[Known]:
    """Return our orders that work, and those the venue names, as they are by now."""
    clients = [report.client_id for report in working if report.client_id]
    venues = [report.venue_id for report in working if report.venue_id]
    rows = Order.objects.filter(account=account)
    named = rows.filter(Q(client_id__in=clients) | Q(venue_id__in=venues) | ~Q(status__in=ENDED_ORDERS))
    return [
        Known(
            order_id=one.pk,
            client_id=one.client_id,
            venue_id=one.venue_id,
            status=OrderStatus(one.status),
            in_flight=one.pk in present or _flies(one, now),
        )
        for one in named
    ]


def _flies(order: Order, now: datetime) -> bool:
    """Say whether something about an order is on its way, or came a moment ago."""
    last = order.ended_at or order.accepted_at or order.sent_at
    fresh = last is not None and now - last < _JUST_NOW
    return fresh or order.status in _FLYING or order.claimed > order.filled


def _in_flight(account: Account, *, spot: bool) -> set[str]:
    """Return what is moved by orders that are on their way."""
    rows = Order.objects.filter(account=account).select_related("instrument")
    flying = rows.filter(Q(status__in=_FLYING) | Q(look_at__isnull=False, status__in=ENDED_ORDERS))
    return {sheets.name_of(order.instrument, spot=spot) for order in flying}


# --- fills -----------------------------------------------------------------------------------------------------------
def _settle_fills(broker: Broker, account: Account, standing: Standing, clock: Clock, start: datetime) -> list[Foreign]:
    """Settle fills of our orders that nobody has booked yet, and return those of nobody's order."""
    first = standing.fills_from or start
    since = max(first, (standing.fills_through or start) - OVERLAP)
    found = [(name, one) for name, one in broker.executions(since) if one.at >= first]
    booked = _booked(account, [one for _, one in found])
    new = {one.id: (name, one) for name, one in found if one.id not in booked}
    orders = _orders_named(account, {name for name, _ in new.values()})
    ours: dict[int, tuple[Order, list[Execution]]] = {}
    foreign = []
    for name, one in new.values():
        order = orders.get(name)
        if order is None:
            foreign.append((name, one))
        else:
            ours.setdefault(order.pk, (order, []))[1].append(one)
    for order, executions in ours.values():
        looking.hear(broker, order, _told_by_fills(order, executions), clock)
    return _described(broker, account, foreign)


def _booked(account: Account, executions: Sequence[Execution]) -> set[str]:
    named = Order(account=account)  # what an execution is called depends on the account and its broker alone
    keys = {order_books.key(named, one.id): one.id for one in executions}
    found = {keys[key] for key in Fill.objects.filter(client_id__in=list(keys)).values_list("client_id", flat=True)}
    rows = Discrepancy.objects.filter(account=account, kind=DiscrepancyKind.UNKNOWN_FILL, undo__undone=True)
    undone = rows.filter(resolution__in=(Resolution.OPEN, Resolution.IGNORED)).values_list("facts__id", flat=True)
    return found - set(undone)


def _orders_named(account: Account, names: set[str]) -> dict[str, Order]:
    rows = Order.objects.filter(account=account).select_related("account", "instrument")
    found = rows.filter(Q(client_id__in=names) | Q(venue_id__in=names))
    return {name: order for order in found for name in (order.client_id, order.venue_id) if name}


def _told_by_fills(order: Order, executions: Sequence[Execution]) -> Report:
    filled = order.filled + sum((one.quantity for one in executions), Decimal(0))
    return Report(
        client_id=order.client_id,
        venue_id=order.venue_id,
        status=OrderStatus(order.status),
        filled=filled,
        executions=tuple(executions),
    )


def _described(broker: Broker, account: Account, foreign: Sequence[tuple[str, Execution]]) -> list[Foreign]:
    """Add to executions of nobody's orders what was traded, which their orders say."""
    noted = {one.execution.id: one for one in _noted_fills(account)}
    orders: dict[str, Report | None] = {}
    found = []
    for name, one in foreign:
        if one.id in noted:
            found.append(noted[one.id])
            continue
        if name not in orders:
            orders[name] = _find(broker, name)
        report = orders[name]
        symbol, buy = (report.symbol, report.buy) if report else ("", None)
        found.append(Foreign(execution=one, order=name, symbol=symbol, buy=buy))
    return found


def _find(broker: Broker, name: str) -> Report | None:
    try:
        return broker.find("", name)
    except BrokerRefused:
        return None


def _noted_fills(account: Account) -> list[Foreign]:
    """Return the executions of nobody's orders that are rows: a person has not booked them."""
    rows = Discrepancy.objects.filter(
        account=account,
        kind=DiscrepancyKind.UNKNOWN_FILL,
        resolution__in=(Resolution.OPEN, Resolution.IGNORED),
    )
    found = [reconciling.fill_of_facts(facts) for facts in rows.values_list("facts", flat=True)]
    booked = _booked(account, [one.execution for one in found])
    return [one for one in found if one.execution.id not in booked]
