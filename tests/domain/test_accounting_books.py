"""The books go by lots, a tax office by FIFO or average cost: once flat, all three have taken the same profit."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from apps.domain import executions, fills, numbers
from apps.domain.accounting import Book, Method, Trade
from apps.domain.executions import Traded
from apps.domain.orders import Execution

START = datetime(2026, 1, 1, tzinfo=UTC)
LOT = Decimal("0.0001")
prices = st.decimals("0.01", "99999.99", places=2)


class Open:
    """A lot as the books keep it."""

    def __init__(self, sign: int, one: Traded) -> None:
        self.sign, self.entry, self.remaining = sign, one.price, one.net
        self.cost = numbers.money(one.price * one.net)

    def leave(self, one: Traded) -> fills.Line:
        """Leave a part of it, or all."""
        left = executions.leave(self.sign, self.remaining, self.cost, self.entry, one)
        self.remaining -= left.quantity
        self.cost -= left.basis
        return left.line


class Venue:
    """Writes every fill into the books by lots and into both other books, as the site does."""

    def __init__(self) -> None:
        self.lots: list[Open] = []
        self.lines: list[fills.Line] = []
        self.books = {method: Book(method) for method in Method}
        self.realised = dict.fromkeys(Method, Decimal(0))
        self.fees = dict.fromkeys(Method, Decimal(0))
        self._number = 0

    def execute(self, buy: bool, quantity: Decimal, price: Decimal, fee: Decimal, asset: str) -> Traded:
        self._number += 1
        told = Execution(id=str(self._number), quantity=quantity, price=price, fee=fee, fee_asset=asset, at=self.now)
        return executions.traded(told, buy=buy, base="BTC", quote="USD")

    @property
    def now(self) -> datetime:
        return START + timedelta(minutes=self._number)

    def open(self, sign: int, one: Traded) -> None:
        self.lots.append(Open(sign, one))
        self._write(sign > 0, one, fills.opening(sign, one.price, one.net, one.fee))

    def leave(self, lot: Open, one: Traded) -> None:
        self._write(lot.sign < 0, one, lot.leave(one))

    def _write(self, buy: bool, one: Traded, line: fills.Line) -> None:
        self.lines.append(line)
        notional = -line.cash - line.fees if buy else line.cash + line.fees
        for method, book in self.books.items():
            for disposal in book.add(Trade(self.now, buy, one.net, notional, one.fee)):
                self.realised[method] += disposal.profit
                self.fees[method] += disposal.fees


@st.composite
def traded(draw: st.DrawFn) -> Venue:
    """Open lots and leave them in parts in any order, fees in money or in the base asset, until nothing is held."""
    venue = Venue()
    for _ in range(draw(st.integers(1, 12))):
        held = [lot for lot in venue.lots if lot.remaining]
        price, fee = draw(prices), draw(st.decimals("-1", "5", places=8))
        if held and draw(st.booleans()):
            lot = draw(st.sampled_from(held))
            part = min(draw(st.integers(1, 20)) * LOT, lot.remaining)
            venue.leave(lot, venue.execute(lot.sign < 0, part, price, fee, "USD"))
        else:
            sign, in_base = draw(st.sampled_from((1, -1))), draw(st.booleans())
            quantity = draw(st.integers(1, 30)) * LOT
            paid = (quantity / 1000, "BTC") if in_base and sign > 0 else (fee, "USD")
            venue.open(sign, venue.execute(sign > 0, quantity, price, *paid))
    for lot in [lot for lot in venue.lots if lot.remaining]:
        venue.leave(lot, venue.execute(lot.sign < 0, lot.remaining, draw(prices), Decimal("0.01"), "USD"))
    return venue


@given(traded())
def test_once_flat_lots_fifo_and_average_took_the_same_profit_and_paid_the_same_fees(venue: Venue) -> None:
    taken = -sum((line.pnl for line in venue.lines), Decimal(0))
    paid = sum((line.fees for line in venue.lines), Decimal(0))
    cash = sum((line.cash for line in venue.lines), Decimal(0))
    assert sum((line.holdings for line in venue.lines), Decimal(0)) == 0
    assert set(venue.realised.values()) == {taken}
    assert set(venue.fees.values()) == {paid}
    assert cash == taken - paid
    assert all(not book.quantity and not book.cost and not book.fees for book in venue.books.values())
