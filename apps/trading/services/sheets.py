"""What an account holds by our books and by its venue, in the same names: instruments, or assets of a spot venue."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

from django.db import connection
from django.db.models import Count, Max, Sum

from apps.domain import reconciling
from apps.domain.reconciling import Foreign, Sheet, symbol_key
from apps.domain.sides import Side
from apps.domain.states import PositionStatus
from apps.market.models import Instrument
from apps.trading.brokers.base import Holding
from apps.trading.models import Account, Fill, LedgerEntry, Order, Position

_CASH = """
SELECT currency, sum(cash) FROM (
    SELECT currency, cash FROM trading_balance WHERE account_id = %(account)s
    UNION ALL
    SELECT l.currency, l.cash FROM trading_ledgerentry l LEFT JOIN trading_balance b
        ON b.account_id = l.account_id AND b.currency = l.currency
    WHERE l.account_id = %(account)s AND l.id > coalesce(b.through, 0)
) AS lines GROUP BY currency
"""
Stamp = tuple[object, ...]


def name_of(instrument: Instrument, *, spot: bool) -> str:
    """Return what an instrument is compared by: itself, or the asset a spot venue keeps for it."""
    return instrument.base_currency.upper() if spot else symbol_key(instrument.symbol)


def ours(account: Account, *, spot: bool) -> Sheet:
    """Return what the account holds by our books."""
    held: dict[str, Decimal] = defaultdict(Decimal)
    lots = Position.objects.filter(account=account).exclude(status=PositionStatus.CLOSED)
    for lot in lots.select_related("instrument"):
        held[name_of(lot.instrument, spot=spot)] += Side(lot.side).sign * lot.remaining
    cash = {account.currency: Decimal(0), **_cash(account)}
    if spot:  # an asset that fees are paid in is held like any other
        bases = _bases() - {account.currency.upper()}
        for name in [name for name in cash if name.upper() in bases]:
            held[name.upper()] += cash.pop(name)
    return Sheet(held=dict(held), cash=cash)


def _cash(account: Account) -> dict[str, Decimal]:
    with connection.cursor() as cursor:
        cursor.execute(_CASH, {"account": account.pk})
        return {currency: Decimal(amount) for currency, amount in cursor}


def theirs(account: Account, holdings: Sequence[Holding] | None, balances: Sequence[Holding]) -> Sheet:
    """Return what the account holds as its venue says; assets that nothing here trades are left out."""
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    for one in balances:
        amounts[one.asset.upper()] += one.quantity
    if holdings is not None:
        held: dict[str, Decimal] = defaultdict(Decimal)
        for one in holdings:
            held[symbol_key(one.asset)] += one.quantity
        return Sheet(held=dict(held), cash=dict(amounts))
    bases = _bases() - {account.currency.upper()}
    return Sheet(held={name: amount for name, amount in amounts.items() if name in bases}, cash=dict(amounts))


def _bases() -> set[str]:
    return {name.upper() for name in Instrument.objects.values_list("base_currency", flat=True).distinct()}


def least(*, spot: bool) -> dict[str, Decimal]:
    """Return the smallest quantity of each that can be traded: less is no difference."""
    found: dict[str, Decimal] = {}
    for instrument in Instrument.objects.all():
        name = name_of(instrument, spot=spot)
        found[name] = min(found.get(name, instrument.lot_size), instrument.lot_size)
    return found


def instrument_of(account: Account, subject: str) -> Instrument | None:
    """Return what a symbol or base asset stands for in an account: what it holds, else what is in its currency."""
    rows = list(Instrument.objects.order_by("pk"))
    exact = [one for one in rows if symbol_key(one.symbol) == symbol_key(subject)]
    same = exact or [one for one in rows if one.base_currency.upper() == subject.upper()]
    held = set(
        Position.objects.filter(account=account)
        .exclude(status=PositionStatus.CLOSED)
        .values_list("instrument_id", flat=True)
    )
    same.sort(key=lambda one: (one.pk not in held, one.quote_currency != account.currency, one.pk))
    return same[0] if same else None


def add_fill(sheet: Sheet, one: Foreign, *, spot: bool) -> None:
    """Add to a sheet what a fill did that is not in our books."""
    for instrument in Instrument.objects.all():
        if symbol_key(instrument.symbol) == symbol_key(one.symbol):
            base, quote = instrument.base_currency, instrument.quote_currency
            reconciling.add_fill(sheet, one, name=name_of(instrument, spot=spot), base=base, quote=quote)


def stamp(account: Account) -> Stamp:
    """Return something that changes whenever an order, a lot or the books of the account do."""
    orders = Order.objects.filter(account=account).aggregate(Count("id"), Sum("version"), Max("id"))
    lots = Position.objects.filter(account=account).exclude(status=PositionStatus.CLOSED)
    held = lots.aggregate(Count("id"), Sum("remaining"))
    fills = Fill.objects.filter(account=account).order_by("-pk").values_list("pk", flat=True).first()
    line = LedgerEntry.objects.filter(account=account).order_by("-pk").values_list("pk", flat=True).first()
    return (*orders.values(), *held.values(), fills, line)
