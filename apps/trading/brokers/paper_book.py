"""The paper venue's book: its orders compared with the prices, each change written by whoever comes first.

No row is locked. A look reads an order, works out what becomes of it, and writes that only if the row is still the one
it read; the one that comes second has lost nothing, because the first found the same.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import Any

from django.conf import settings
from django.db.models import F

from apps.domain import matching, numbers
from apps.domain.matching import Mark, Piece, Standing
from apps.domain.orders import Execution, OrderKind, Report, TimeInForce
from apps.domain.states import ENDED_ORDERS, OrderStatus
from apps.market.models import Instrument
from apps.market.store import StoreUnavailable
from apps.trading.brokers import paper_prices
from apps.trading.brokers.paper_options import PaperOptions
from apps.trading.brokers.paper_prices import Prices
from apps.trading.models import PaperOrder

Options = Callable[[PaperOrder], PaperOptions]


def of_account(row: PaperOrder) -> PaperOptions:
    """Return the options that an order's account has."""
    return PaperOptions.of(row.account.broker_options)


def look(rows: Sequence[PaperOrder], now: datetime, options: Options = of_account) -> list[str]:
    """Compare orders with the prices up to now; return the client ids of those that changed."""
    waiting = [row for row in rows if row.status not in ENDED_ORDERS and row.acts_at <= now]
    by_symbol = groupby(sorted(waiting, key=attrgetter("symbol")), key=attrgetter("symbol"))
    groups = {symbol: list(group) for symbol, group in by_symbol}
    instruments = Instrument.objects.in_bulk(list(groups), field_name="symbol")
    changed: list[str] = []
    for symbol, instrument in instruments.items():
        prices = paper_prices.prices(instrument.pk, now)
        changed += _look(groups[symbol], instrument, prices, options)
    return changed


def standing(row: PaperOrder) -> Standing:
    """Return an order of the book as a plain value."""
    return Standing(
        buy=row.buy,
        kind=OrderKind(row.kind),
        tif=TimeInForce(row.tif),
        quantity=row.quantity,
        acts_at=row.acts_at,
        limit_price=row.limit_price,
        stop_price=row.stop_price,
        expires_at=row.expires_at,
        status=OrderStatus(row.status),
        filled=row.filled,
        pieces=tuple(_piece(stored) for stored in row.executions),
        triggered_at=row.triggered_at,
        rests_at=row.rests_at,
        through=None if row.through_at is None else (row.through_at, row.through_id),
        why=row.why,
    )


def report(row: PaperOrder) -> Report:
    """Return what the venue says of an order."""
    return Report(
        client_id=row.client_id,
        venue_id=f"paper-{row.pk}",
        status=OrderStatus(row.status),
        filled=row.filled,
        executions=executions(row),
        at=row.filled_at or row.placed_at,
        reason=row.why,
        symbol=row.symbol,
        buy=row.buy,
        quantity=row.quantity,
        kind=OrderKind(row.kind),
        limit_price=row.limit_price,
        stop_price=row.stop_price,
    )


def executions(row: PaperOrder) -> tuple[Execution, ...]:
    """Return the fills of an order; the id of each follows from the order and its place."""
    return tuple(
        Execution(
            id=f"{row.client_id}.{place}",
            quantity=Decimal(stored["quantity"]),
            price=Decimal(stored["price"]),
            fee=Decimal(stored["fee"]),
            fee_asset=stored["fee_asset"],
            at=datetime.fromisoformat(stored["at"]),
        )
        for place, stored in enumerate(row.executions, start=1)
    )


def write(row: PaperOrder, **values: Any) -> bool:
    """Change an order unless it has ended or somebody changed it since it was read; say whether it was done."""
    same = PaperOrder.objects.filter(pk=row.pk, version=row.version).exclude(status__in=ENDED_ORDERS)
    return bool(same.update(version=F("version") + 1, **values))


def _look(rows: list[PaperOrder], instrument: Instrument, prices: Prices, options: Options) -> list[str]:
    try:
        near = _within_reach(rows, prices)
        marks = prices.marks(min(map(_since, near))) if near else []
    except StoreUnavailable:  # it went away during the look: nothing was looked at
        return []
    changed = [row.client_id for row in near if _match(row, marks, instrument, prices, options(row))]
    unchanged = [row.pk for row in rows if row.client_id not in set(changed)]
    if prices.looked is not None:
        PaperOrder.objects.filter(pk__in=unchanged, looked_at__lt=prices.looked).update(looked_at=prices.looked)
    return changed


def _within_reach(rows: list[PaperOrder], prices: Prices) -> list[PaperOrder]:
    """Return the orders that the prices of the span could change: most wait far away, and cost no reading of prints."""
    found = prices.extremes(min(map(_since, rows)))
    return [row for row in rows if _is_due(row, prices) or (found and matching.is_within_reach(standing(row), *found))]


def _is_due(row: PaperOrder, prices: Prices) -> bool:
    at_once = row.tif in matching.AT_ONCE
    return at_once or (row.expires_at is not None and row.expires_at <= prices.now)


def _since(row: PaperOrder) -> datetime:
    return paper_prices.in_force_since(max(row.acts_at, row.looked_at))


def _match(row: PaperOrder, marks: list[Mark], instrument: Instrument, prices: Prices, options: PaperOptions) -> bool:
    before = standing(row)
    terms = options.terms(row.client_id, row.account, instrument)
    known = prices.known or row.acts_at
    after = matching.match(before, marks, terms, now=prices.now, known=known)
    if after == before:
        return False
    new = after.pieces[len(before.pieces) :]
    if _is_late(new, prices.now):
        after = replace(after, why=f"filled late, at the prices of {new[0].at.isoformat(timespec='seconds')}")
    return write(row, **_values(row, after, new, instrument.quote_currency, prices))


def _is_late(pieces: tuple[Piece, ...], now: datetime) -> bool:
    return any(now - piece.at > settings.EXIT_LATE_AFTER for piece in pieces)


def _values(row: PaperOrder, after: Standing, new: Iterable[Piece], asset: str, prices: Prices) -> dict[str, Any]:
    stored = [_stored(piece, asset, prices.now) for piece in new]
    values: dict[str, Any] = {
        "status": after.status,
        "filled": after.filled,
        "notional": numbers.stored(sum((piece.price * piece.quantity for piece in after.pieces), Decimal(0))),
        "fees": sum((piece.fee for piece in after.pieces), Decimal(0)),
        "executions": [*row.executions, *stored],
        "triggered_at": after.triggered_at,
        "rests_at": after.rests_at,
        "why": after.why,
    }
    if after.through is not None:
        values |= {"through_at": after.through[0], "through_id": after.through[1]}
    if stored:
        values["filled_at"] = prices.now
    return values


def _stored(piece: Piece, asset: str, now: datetime) -> dict[str, Any]:
    return {
        "quantity": numbers.plain(piece.quantity),
        "price": numbers.plain(piece.price),
        "fee": numbers.plain(piece.fee),
        "fee_asset": asset,
        "at": piece.at.isoformat(),
        "maker": piece.maker,
        "seen_at": now.isoformat(),
    }


def _piece(stored: dict[str, Any]) -> Piece:
    return Piece(
        quantity=Decimal(stored["quantity"]),
        price=Decimal(stored["price"]),
        fee=Decimal(stored["fee"]),
        at=datetime.fromisoformat(stored["at"]),
        maker=bool(stored["maker"]),
    )
