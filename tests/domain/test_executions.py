"""What an execution means for a lot: fees in any asset, cuts where the lot ends, rests, and cash to the last digit."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import executions, fills, numbers
from apps.domain.executions import Traded
from apps.domain.orders import Execution

AT = datetime(2026, 1, 2, tzinfo=UTC)
ASSETS = ("", "USD", "usd", "BTC", "btc", "BNB")
amounts = st.decimals("0.0001", "5000", places=6)


def traded(quantity: object, price: object, fee: object = 0, asset: str = "", *, buy: bool = True) -> Traded:
    one = Execution(id="e", quantity=Decimal(quantity), price=Decimal(price), fee=Decimal(fee), fee_asset=asset, at=AT)
    return executions.traded(one, buy=buy, base="BTC", quote="USD")


TABLE = [
    ("", True, "1", "0.1", "", "0"),
    ("usd", False, "1", "0.1", "", "0"),
    ("BTC", True, "0.9", "10", "BTC", "0"),
    ("btc", False, "1.1", "10", "BTC", "0"),
    ("BNB", True, "1", "0", "BNB", "0.1"),
]


@pytest.mark.parametrize(("asset", "buy", "net", "fee", "named", "third"), TABLE)
def test_a_fee_in_every_asset(asset: str, buy: bool, net: str, fee: str, named: str, third: str) -> None:
    one = traded(1, 100, "0.1", asset, buy=buy)
    assert (one.net, one.fee, one.fee_asset, one.third) == (Decimal(net), Decimal(fee), named, Decimal(third))


@given(quantity=amounts, price=amounts, rate=st.decimals("-0.01", "0.05", places=5), asset=st.sampled_from(ASSETS))
def test_the_cash_of_an_entry_is_what_the_venue_took(
    quantity: Decimal, price: Decimal, rate: Decimal, asset: str
) -> None:
    fee = numbers.stored(quantity * rate)
    one = traded(quantity, price, fee, asset)
    line = fills.opening(1, one.price, one.net, one.fee)
    in_cash = numbers.money(fee) if asset.upper() in ("", "USD") else Decimal(0)
    assert line.cash == -numbers.money(quantity * price) - in_cash


@given(
    quantity=amounts,
    held=amounts,
    price=amounts,
    rate=st.decimals("-0.01", "0.05", places=5),
    asset=st.sampled_from(ASSETS),
    sign=st.sampled_from([1, -1]),
)
def test_whatever_is_cut_the_parts_are_the_whole_and_so_is_the_cash(
    quantity: Decimal, held: Decimal, price: Decimal, rate: Decimal, asset: str, sign: int
) -> None:
    fee = numbers.stored(quantity * rate)
    one = traded(quantity, price, fee, asset, buy=sign < 0)
    parts = executions.cut(one, held)
    found = [part for part in (parts.closes, parts.beyond) if part is not None]
    assert sum(part.gross for part in found) == one.gross
    assert sum(part.third for part in found) == one.third
    cash = Decimal(0)
    if parts.closes is not None:
        assert parts.closes.net <= held
        left = executions.leave(sign, held, numbers.money(held * 90), Decimal(90), parts.closes)
        cash += left.line.cash
        assert left.line.cash + left.line.holdings + left.line.fees + left.line.pnl == 0
    if parts.beyond is not None:
        cash += fills.opening(-sign, parts.beyond.price, parts.beyond.net, parts.beyond.fee).cash
    in_cash = numbers.money(fee) if asset.upper() in ("", "USD") else Decimal(0)
    exact = numbers.money(quantity * price) * sign - in_cash
    assert abs(cash - exact) <= (len(found) - 1) * numbers.MONEY_STEP, "each part is rounded once"


def test_a_lot_left_whole_leaves_no_cost_behind() -> None:
    left = executions.leave(1, Decimal("0.3"), Decimal("29.99999999"), Decimal(100), traded("0.3", 110, buy=False))
    assert left.basis == Decimal("29.99999999")


def test_a_lot_left_in_parts_never_costs_less_than_nothing() -> None:
    left = executions.leave(1, Decimal("0.3"), Decimal("0.00000001"), Decimal(100), traded("0.2", 110, buy=False))
    assert left.basis == Decimal("0.00000001")


@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_written_off_is_lost_cost(sign: int) -> None:
    line = executions.write_off(sign, Decimal("0.5"))
    assert (line.cash, line.holdings, line.pnl) == (0, Decimal("-0.5") * sign, Decimal("0.5") * sign)


RESTS = {
    "everything": ("0.5", None, "0", "0.5"),
    "everything but dust": ("0.50005", None, "0", "0.5"),
    "only dust": ("0.00005", None, "0", "0"),
    "a part, not begun": ("1", "0.5", "0", "0.5"),
    "a part, begun": ("0.8", "0.5", "0.2", "0.3"),
    "a part, done": ("0.5", "0.5", "0.5", "0"),
    "a part, more than done": ("0.5", "0.5", "0.6", "0"),
    "a part that is no longer there": ("0.1", "0.5", "0", "0.1"),
}


@pytest.mark.parametrize(("remaining", "ordered", "filled", "wanted"), RESTS.values(), ids=RESTS)
def test_what_an_exit_has_still_to_leave(remaining: str, ordered: str | None, filled: str, wanted: str) -> None:
    found = executions.rest(
        remaining=Decimal(remaining),
        ordered=None if ordered is None else Decimal(ordered),
        filled=Decimal(filled),
        lot_size=Decimal("0.0001"),
    )
    assert found == Decimal(wanted)


@pytest.mark.parametrize(("remaining", "dust"), [("0", False), ("0.00009", True), ("0.0001", False)])
def test_dust_is_something_that_cannot_be_sold(remaining: str, dust: bool) -> None:
    assert executions.is_dust(Decimal(remaining), Decimal("0.0001")) is dust
