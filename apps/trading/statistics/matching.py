"""What was realised by FIFO or at average cost? The fills are read once, in order, and matched by the domain's book."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from django.db import connection

from apps.domain.accounting import Book, Disposal, Method, Trade
from apps.market.models import Instrument
from apps.trading.statistics.selection import Selection

BATCH = 20_000
# The notional is what the ledger moved, to the last digit. What was too little to be sold, and was taken out of the
# books, is a disposal for nothing, after the fills of its instant.
_FILLS = """
SELECT f.account_id, f.instrument_id, i.symbol, i.quote_currency, f.at, f.buy, coalesce(f.net, f.quantity),
    CASE WHEN f.buy THEN -l.cash - l.fees ELSE l.cash + l.fees END, f.fee, f.id
FROM trading_fill f JOIN market_instrument i ON i.id = f.instrument_id
JOIN trading_ledgerentry l ON l.fill_id = f.id AND l.currency = i.quote_currency {joins}
WHERE {where}
UNION ALL
SELECT l.account_id, p.instrument_id, i.symbol, i.quote_currency, l.at, p.side = 'short', l.quantity, 0, 0, NULL
FROM trading_ledgerentry l JOIN trading_position p ON p.id = l.position_id
JOIN market_instrument i ON i.id = p.instrument_id {signal}
WHERE l.position_id IS NOT NULL AND {dust}
ORDER BY 1, 2, 5, 10 NULLS LAST
"""
_COUNT = "SELECT count(*) FROM trading_fill f {joins} WHERE {where}"


class Realised(NamedTuple):
    """A disposal and where it happened."""

    account: int
    instrument: int
    symbol: str
    currency: str
    disposal: Disposal


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One method's answer in one quote currency."""

    method: Method
    currency: str
    disposals: int
    realised_pnl: Decimal  # before fees, of disposals in the selection's days
    fees: Decimal  # of both sides of these disposals
    open_cost: Decimal  # of what is held at the end of the selection, shorts as what they were sold for
    unrealised_pnl: Decimal | None  # of it, before fees, at the last quotes; None when one is missing

    @property
    def gain(self) -> Decimal:
        """What the disposals gained after fees."""
        return self.realised_pnl - self.fees


def fills(selection: Selection) -> int:
    """Return how many fills a matching would read."""
    whole = replace(selection, since=None)
    ((count,),) = whole.ask(_COUNT.format(**_parts(whole)))
    return int(count)


def disposals(selection: Selection, method: Method) -> Iterator[Realised]:
    """Yield what was realised in the selection's days, account by account and instrument by instrument. One statement.

    Every fill before the end is matched, those before the beginning included. Memory grows with what is held, not with
    the number of fills.
    """
    books: dict[tuple[int, int], Book] = defaultdict(lambda: Book(method))
    for filled in _fills(selection):
        for disposal in books[filled.account, filled.instrument].add(filled.trade):
            if selection.since is None or filled.trade.at >= selection.since:
                yield Realised(filled.account, filled.instrument, filled.symbol, filled.currency, disposal)


def realised(selection: Selection, *methods: Method) -> list[Result]:
    """Return what methods realised by quote currency, and what is left open. Two statements, however many methods.

    With an end to the days nothing is said of what the rest is worth: the last quotes are not of that day.
    """
    books: dict[tuple[int, Method], dict[int, Book]] = defaultdict(dict)
    sums: dict[tuple[str, Method], _Sum] = defaultdict(_Sum)
    for filled in _fills(selection):
        counts = selection.since is None or filled.trade.at >= selection.since
        for method in methods:
            held = books[filled.account, method]
            book = held.get(filled.instrument)
            if book is None:
                book = held[filled.instrument] = Book(method)
            found = book.add(filled.trade)
            if found and counts:
                sums[filled.currency, method].add(found)
    _hold(books, sums, priced=selection.until is None)
    order = sorted(sums, key=lambda key: (key[0], methods.index(key[1])))
    return [sums[currency, method].result(method, currency) for currency, method in order]


def _hold(books: Mapping[tuple[int, Method], Mapping[int, Book]], sums: "_Sums", *, priced: bool) -> None:
    rows = Instrument.objects.filter(pk__in={one for held in books.values() for one in held})
    known = {
        key: (currency, price) for key, currency, price in rows.values_list("id", "quote_currency", "quote__price")
    }
    for (_, method), held in books.items():
        for instrument, book in held.items():
            currency, price = known[instrument]
            sums[currency, method].hold(book, price if priced else None)


class _Sum:
    """What adds up over the instruments of one quote currency."""

    def __init__(self) -> None:
        self._disposals = 0
        self._profit = self._fees = self._cost = Decimal(0)
        self._worth: Decimal | None = Decimal(0)

    def add(self, disposals: Sequence[Disposal]) -> None:
        self._disposals += len(disposals)
        for disposal in disposals:
            self._profit += disposal.proceeds - disposal.cost
            self._fees += disposal.fees

    def hold(self, book: Book, price: Decimal | None) -> None:
        if not book.quantity:
            return
        self._cost += book.cost
        self._worth = None if price is None or self._worth is None else self._worth + book.worth(price)

    def result(self, method: Method, currency: str) -> Result:
        return Result(
            method=method,
            currency=currency,
            disposals=self._disposals,
            realised_pnl=self._profit,
            fees=self._fees,
            open_cost=self._cost,
            unrealised_pnl=self._worth,
        )


_Sums: TypeAlias = dict[tuple[str, Method], _Sum]


class _Filled(NamedTuple):
    account: int
    instrument: int
    symbol: str
    currency: str
    trade: Trade


def _fills(selection: Selection) -> Iterator[_Filled]:
    """Yield every fill up to the end of the selection, read from the server a batch at a time."""
    whole = replace(selection, since=None)
    with connection.chunked_cursor() as cursor:
        cursor.execute(_FILLS.format(**_parts(whole)), whole.values())
        while batch := cursor.fetchmany(BATCH):
            for account, instrument, symbol, currency, at, buy, quantity, notional, fee, _ in batch:
                yield _Filled(account, instrument, symbol, currency, Trade(at, buy, quantity, notional, fee))


def _parts(selection: Selection) -> dict[str, str]:
    joins = ""
    if selection.strategy is not None:
        joins = f"JOIN trading_position p ON p.id = f.position_id {selection.signal('p')}"
    return {
        "joins": joins,
        "signal": selection.signal("p"),
        "where": selection.where(at="f.at", rows="f"),
        "dust": selection.where(at="l.at", rows="p"),
    }
