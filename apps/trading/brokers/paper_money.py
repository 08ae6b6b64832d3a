"""What does an account hold at the paper venue? What its orders did, and what was filled without one."""

from collections import defaultdict
from decimal import Decimal

from django.db.models import Case, F, Q, QuerySet, Sum, When

from apps.market.models import Instrument
from apps.trading.brokers.base import Holding
from apps.trading.models import Fill, LedgerEntry, PaperOrder

Rows = QuerySet[PaperOrder]


def positions(account_id: int) -> list[Holding]:
    """Return the net quantity per instrument, negative for short; none that is zero."""
    net: dict[str, Decimal] = defaultdict(Decimal)
    orders = PaperOrder.objects.filter(account_id=account_id, filled__gt=0)
    instant = Fill.objects.filter(account_id=account_id, order=None)
    for symbol, quantity in _net(orders, "symbol", "filled") + _net(instant, "instrument__symbol", "quantity"):
        net[symbol] += quantity
    return [Holding(asset=symbol, quantity=quantity) for symbol, quantity in sorted(net.items()) if quantity]


def balances(account_id: int) -> list[Holding]:
    """Return the cash per currency: deposits and fills without an order by the books, the rest by its orders."""
    cash: dict[str, Decimal] = defaultdict(Decimal)
    booked = LedgerEntry.objects.filter(Q(fill=None) | Q(fill__order=None), account_id=account_id)
    for currency, amount in booked.order_by().values_list("currency").annotate(sum=Sum("cash")):
        cash[currency] += amount
    orders = PaperOrder.objects.filter(account_id=account_id, filled__gt=0)
    sums = orders.order_by().values_list("symbol").annotate(sum=_signed("notional"), paid=Sum("fees"))
    quoted = dict(Instrument.objects.values_list("symbol", "quote_currency"))
    for symbol, bought, fees in sums:
        cash[quoted[symbol]] -= bought + fees
    return [Holding(asset=name, quantity=amount, available=amount) for name, amount in sorted(cash.items())]


def _net(rows: "QuerySet[PaperOrder] | QuerySet[Fill]", by: str, of: str) -> list[tuple[str, Decimal]]:
    return list(rows.order_by().values_list(by).annotate(sum=_signed(of)))


def _signed(field: str) -> Sum:
    """Return the sum of a column, bought less sold."""
    return Sum(Case(When(buy=True, then=F(field)), default=-F(field)))
